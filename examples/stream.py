"""Watch a turn while it runs: its steps, its sources, its words, its pictures.

Run: python examples/stream.py
"""

from pathlib import Path

from limner import Agent, Library
from limner.agent.events import AnswerReady, PictureReady, SourcesFound, StepFinished, TextDelta

HERE = Path(__file__).parent


def main() -> None:
    """Print every event of one turn in its own way."""
    with Library.open("demo/library") as library, Agent(library) as agent:
        library.add(HERE / "handbook")
        for event in agent.stream("Show me the sound levels of the machines."):
            match event:
                case StepFinished(step, seconds):
                    print(f"  {step} took {seconds * 1000:.0f} ms")
                case SourcesFound(passages):
                    print(f"  found {', '.join(p.place for p in passages)}")
                case TextDelta(text):
                    print(f"  draft: {text!r}")
                case PictureReady(_, picture):
                    print(f"  picture: {picture.caption}")
                case AnswerReady(answer):
                    print(answer.text)


if __name__ == "__main__":
    main()
