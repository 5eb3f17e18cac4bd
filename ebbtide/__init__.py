"""What other teams import to publish lifecycle events to ebbtide.

`ebbtide.Publisher` is the one name taken from here, as a convenience: it is loaded when it is first asked for, so that
code which needs only the formats does not load a Kafka client. Everything else is imported from where it is defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebbtide.publisher import Publisher

__all__ = ["Publisher"]


def __getattr__(name: str) -> Any:
    if name == "Publisher":
        from ebbtide.publisher import Publisher

        return Publisher
    raise AttributeError(f"module 'ebbtide' has no attribute {name!r}")
