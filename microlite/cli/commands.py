"""The table of all commands: where each is, and what `--help` says of it. Importing it imports no command."""

from __future__ import annotations

from typing import Final, NamedTuple

PROGRAM: Final = "microlite"


class Entry(NamedTuple):
    """A command as the root knows it."""

    place: str
    """Its module below `microlite.cli`, and the name of the command there."""
    text: str
    """What `--help` says of it."""


SECTIONS: Final = {
    "Write and run": {
        "new": Entry("new:new", "Create a service in a new folder, with a test that passes and a README."),
        "run": Entry(
            "run:run", "Run services from folders, files or git repositories; each save swaps in the new code."
        ),
        "test": Entry("test:test", "Run the tests of a project with pytest."),
        "update": Entry("update:update", "Load the code of running services anew."),
        "kill": Entry("kill:kill", "Drain and end services."),
        "attach": Entry("attach:attach", "Debug a service that runs already."),
        "server": Entry("server:server", "Start the platform and keep it running."),
    },
    "Look": {
        "status": Entry("status:status", "Show what runs: state, nodes, restarts, errors."),
        "logs": Entry("logs:logs", "Print what a service writes."),
        "services": Entry("services:services", "List the services that can be called."),
        "audit": Entry("audit:audit", "Show what was done with special rights: who, when, to what."),
        "describe": Entry("describe:describe", "Show the endpoints of a service with their fields."),
        "web": Entry("web:web", "Open the dashboard in a browser, logged in."),
        "doctor": Entry("doctor:doctor", "Find out what is wrong here, and how to mend it."),
    },
    "Call": {
        "call": Entry("call:call", "Call an endpoint with a JSON document."),
        "stream": Entry("call:stream", "Call an endpoint and print each message of its stream."),
        "shell": Entry("shell:shell", "Call services from a Python prompt, with completion."),
        "openapi": Entry("openapi:openapi", "Print the OpenAPI document of services, for generators and other tools."),
        "asyncapi": Entry(
            "asyncapi:asyncapi", "Print the AsyncAPI document of services: which messages and events they take."
        ),
    },
    "Keep state": {
        "store": Entry("store:store", "Read and change the records that services keep."),
        "config": Entry("config:config", "Settings that services follow while they run; secrets and history."),
        "tx": Entry("tx:tx", "Let changes of records, blobs, events, configuration and schedules take place together."),
        "backup": Entry("backup:backup", "Back up everything that the platform keeps, while it runs or not."),
        "restore": Entry("restore:restore", "Put a backup into an empty home."),
    },
    "In the background": {
        "events": Entry(
            "events:events", "Publish, read and consume durable events; look after topics, groups and dead letters."
        ),
        "publish": Entry("broker:publish", "Publish a message to whoever is subscribed now."),
        "broker": Entry("broker:broker", "Publish and follow ephemeral messages, and see who is subscribed."),
        "schedules": Entry("schedules:schedules", "See, add, pause and run what is called at its time."),
    },
    "This machine": {
        "user": Entry("user:user", "Look after what is set for you, on this machine."),
        "cache": Entry("cache:cache", "Look after what the one file has unpacked."),
        "completion": Entry(
            "completion:completion", "Print the script for completion in a shell; without a shell, how it is installed."
        ),
        "version": Entry("version:version", "Print the version."),
    },
}
"""The commands by what they are for, in the order in which `--help` shows them."""

COMMANDS: Final = {name: entry for commands in SECTIONS.values() for name, entry in commands.items()}
"""All commands."""

COMPLETION_VARIABLE: Final = "_MICROLITE_COMPLETE"
"""By it a shell asks for completions, and for the script that asks; see `microlite.cli.completing`."""
