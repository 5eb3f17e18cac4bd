"""`ebbtide`: the commands and where they live."""

from __future__ import annotations

import typer

from ops.cli import (
    api,
    audit,
    backfill,
    brake,
    certificate,
    dead_letters,
    demo,
    doctor,
    drill,
    hold,
    jobs,
    pause,
    policy,
    read_model,
    reapply,
    request,
    role,
    rules,
    sweep,
    up,
)

app = typer.Typer(
    name="ebbtide",
    help="Data retention and erasure as a stream: what is too old goes, everywhere, and you can see that it did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("run")(role.run)
app.command("backfill")(backfill.backfill)
app.command("reapply")(reapply.reapply)
app.command("sweep")(sweep.sweep)
app.command("pause")(pause.pause)
app.command("resume")(pause.resume)
app.command("doctor")(doctor.doctor)
app.command("drill")(drill.drill)
app.command("dead-letters")(dead_letters.dead_letters)
app.command("certificate")(certificate.certificate)
app.command("verify")(certificate.verify)
app.command("install")(up.install)
app.command("openapi")(api.openapi)
app.command("issuer")(api.issuer)
app.command("token")(api.token)
app.command("rebuild")(read_model.rebuild)
app.add_typer(policy.app, name="policy")
app.add_typer(hold.app, name="hold")
app.add_typer(request.app, name="request")
app.add_typer(jobs.app, name="jobs")
app.add_typer(brake.app, name="brake")
app.add_typer(rules.app, name="rules")
app.add_typer(audit.app, name="audit")
app.add_typer(read_model.app, name="migrate")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
