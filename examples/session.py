"""A conversation that is kept: a follow-up question leans on the one before it.

Run: python examples/session.py, twice: the second time it remembers.
"""

from pathlib import Path

from limner import Agent, Library

HERE = Path(__file__).parent


def main() -> None:
    """Ask two questions in the session "vpn" and list what it holds."""
    with Library.open("demo/library") as library, Agent(library, session="vpn") as agent:
        library.add(HERE / "handbook")
        for question in ("What do I do on VPN error 809 on Windows?", "And on macOS?"):
            print(f"› {question}\n{agent.ask(question).text}\n")
        for summary in agent.sessions.ls():
            print(f"the session {summary.name!r} has {summary.turns} turns")


if __name__ == "__main__":
    main()
