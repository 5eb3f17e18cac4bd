"""Build the peers from source with Maven, once for each state of their sources.

Called by `ops.bench.streams_peer`; `tests/integration/bench/` builds the real thing.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from ops.local.errors import MissingTool, ServiceFailed
from ops.local.process import tail_of

_PEERS = Path(__file__).parent / "peers"


def build_peer(name: str, cache_dir: Path) -> Path:
    """Return the directory with `<name>-peer-1.jar` and `lib/` of `peers/<name>`, built in `cache_dir/bench`.

    Raises MissingTool without Maven, ServiceFailed with the end of its log if the build fails.
    """
    source = _PEERS / name
    place = cache_dir / "bench" / f"{name}-{_hash_of(source)}"
    if place.exists():
        return place
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingTool("mvn", f"building the {name} peer", "sudo apt-get install maven")
    place.parent.mkdir(parents=True, exist_ok=True)
    log = place.with_suffix(".log")
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=place.parent) as temporary:
        target = Path(temporary) / "target"
        with log.open("wb") as out:
            ended = subprocess.run(
                [maven, "-B", "-q", "-f", str(source / "pom.xml"), "package", f"-Dbuild.dir={target}"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if ended.returncode != 0:
            raise ServiceFailed(f"the build of the {name} peer", f"failed ({ended.returncode})", log, tail_of(log))
        if not place.exists():  # else another run was quicker, with the same sources
            target.replace(place)
    return place


def _hash_of(source: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in source.rglob("*") if p.suffix in {".java", ".xml"}):
        digest.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
