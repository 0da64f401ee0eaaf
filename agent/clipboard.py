"""A picture from the clipboard. Knows Pillow and the operating system's own helpers."""

from __future__ import annotations

import io

from ..errors import SourceError

__all__ = ["clipboard_picture"]


def clipboard_picture() -> bytes:
    """The picture on the clipboard, as the bytes of a PNG file.

    Raises:
        SourceError: there is none, or nothing to read the clipboard with.
    """
    from PIL import Image, ImageGrab

    try:
        found = ImageGrab.grabclipboard()
    except NotImplementedError:
        raise SourceError(
            "the clipboard cannot be read here",
            "install wl-clipboard (Wayland) or xclip (X11), or use /attach PATH",
        ) from None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise SourceError(f"the clipboard cannot be read: {error}", "use /attach PATH") from None
    if not isinstance(found, Image.Image):
        raise SourceError("no picture on the clipboard", "copy one, or use /attach PATH")
    buffer = io.BytesIO()
    found.save(buffer, "PNG")
    return buffer.getvalue()
