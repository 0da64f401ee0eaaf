"""The library as a LangChain retriever."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from .filters import Filter
from .passage import Passage

__all__ = ["LibraryRetriever"]


class LibraryRetriever(BaseRetriever):
    """Gives passages as LangChain documents; see `limner.index.library.Library.as_retriever`.

    A document's text is the passage's own, its metadata every other field of it; ``heading`` and
    ``context`` tell what stands above it.

    Attributes:
        library: the library.
        k: how many passages a question brings.
        where: only passages that meet these conditions.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    library: Any
    k: int = 5
    where: Filter | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        found = self.library.search(query, self.k, self.where)
        return [_document(passage) for passage in found]


def _document(passage: Passage) -> Document:
    values = passage.to_dict()
    return Document(id=passage.id, page_content=values.pop("text"), metadata=values)
