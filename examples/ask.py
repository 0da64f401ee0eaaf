"""Ask a question about the sample handbook, with a screenshot, and save the answer as a page.

Run: python examples/ask.py
"""

from pathlib import Path

from limner import Agent, Library

HERE = Path(__file__).parent


def main() -> None:
    """Index the handbook (once), ask, save."""
    with Library.open("demo/library") as library, Agent(library) as agent:
        library.add(HERE / "handbook")
        answer = agent.ask("How do I fix this?", images=[HERE / "shots" / "mac-vpn.png"])
        print(answer.text)
        for picture in answer.pictures:
            print(f"[{picture.caption} — {picture.origin.label}]")
        print(f"saved: {answer.save('demo/fix.html')}")


if __name__ == "__main__":
    main()
