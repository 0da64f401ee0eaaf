"""Put a chat model of your own in place of the profile's: any LangChain chat model fits.

This one writes the passages' first lines as a list, to show what a model is given and what it may
answer with. Run: python examples/own_chat_model.py
"""

from pathlib import Path
from typing import Any

from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import BaseMessage

from limner import Agent, Library

HERE = Path(__file__).parent


class Lister(SimpleChatModel):
    """Lists what was found, cites it, and shows the first picture there is."""

    @property
    def _llm_type(self) -> str:
        return "lister"

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        passages = messages[-1].additional_kwargs["passages"]
        lines = [f"- {p['text'].splitlines()[0]} [{p['label']}]" for p in passages]
        pictured = next((p for p in passages if p["pictured"]), None)
        if pictured:
            lines.append(f"[[show {pictured['label']}: {pictured['text'].splitlines()[0]}]]")
        return "\n".join(lines)


def main() -> None:
    """Ask through the model above."""
    with Library.open("demo/library") as library:
        library.add(HERE / "handbook")
        with Agent(library, chat_model=Lister()) as agent:
            answer = agent.ask("Show me the floor plan of the workshop.")
            print(answer.text)
            print([picture.caption for picture in answer.pictures])


if __name__ == "__main__":
    main()
