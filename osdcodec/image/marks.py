"""Marks that a decoded picture carries: what made it, from how much, and that its texture is synthetic. Standard library only."""

import re

# "Edited using Generative AI": a capture; a trained model made up parts of it. README.md says why this term.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_NAMESPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
}
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_HEAD = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + _RDF.encode() + b'">'
)
_TAIL = b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
_ABOUT = re.compile(rb"""<\w+:Description\b[^>]*?\s\w+:about\s*=\s*["']([^"']*)["']""")
_ROOT = re.compile(rb"<(?P<prefix>[A-Za-z_][\w.-]*):RDF\b[^>]*?(?P<empty>/)?>")
_PROPERTIES = {"CreatorTool": "xmp", "DigitalSourceType": "Iptc4xmpExt"}
_PREFIX = rb"""xmlns:([\w.-]+)\s*=\s*["']%s["']"""
_AS_ATTRIBUTE = rb"""\s+%s:%s\s*=\s*(?:"[^"]*"|'[^']*')"""
_AS_ELEMENT = rb"<%s:%s\b[^>]*?(?:/>|>.*?</%s:%s\s*>)"


def packet(tool: str, kept: bytes | None = None) -> bytes:
    """The XMP of a decoded picture: that of the original, if it was kept, with our DigitalSourceType and CreatorTool in it.

    What a kept packet says of these two itself gives way; everything else stays, byte for byte. A packet that is not UTF-8 or
    has no rdf:RDF is returned as it is.
    """
    kept = kept.rstrip(b"\0") if kept else kept
    if kept and not _mergeable(kept):
        return kept
    attributes = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in _NAMESPACES.items())
    block = (
        f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about="{_about(kept)}"{attributes}'
        f' xmp:CreatorTool="{_escaped(tool)}" Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/>'
    ).encode()
    if not kept:
        return _HEAD + block + _TAIL
    kept = _without_ours(kept)
    root = _ROOT.search(kept)
    if root is None:
        return kept
    if root["empty"]:
        opened = kept[root.start() : root.end() - 2] + b">"
        return kept[: root.start()] + opened + block + b"</" + root["prefix"] + b":RDF>" + kept[root.end() :]
    return kept[: root.end()] + block + kept[root.end() :]


def is_bare(packet: bytes) -> bool:
    """Whether a packet is one of ours, with nothing of the original's in it."""
    return packet.startswith(_HEAD) and packet.endswith(_TAIL) and packet.count(b"<rdf:Description") == 1


def comment(tool: str, size: int, rest: str) -> str:
    """The comment of a decoded picture. size: bytes of the file; rest: what else is told of it."""
    return f"decoded from {size} bytes by {tool}; texture is synthetic: {rest}"


def _about(kept: bytes | None) -> str:
    """What a kept packet is about: all descriptions in a packet must name the same."""
    found = _ABOUT.search(kept or b"")
    return found[1].decode() if found else ""


def _without_ours(kept: bytes) -> bytes:
    """A packet without what it says itself of the properties that are ours, under whatever prefix."""
    for name, prefix in _PROPERTIES.items():
        uri = re.escape(_NAMESPACES[prefix].encode())
        for used in {re.escape(found) for found in re.findall(_PREFIX % uri, kept)}:
            both = used, name.encode()
            kept = re.sub(_AS_ATTRIBUTE % both, b"", kept)
            kept = re.sub(_AS_ELEMENT % (both * 2), b"", kept, flags=re.DOTALL)
    return kept


def _mergeable(kept: bytes) -> bool:
    try:
        kept.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return _ROOT.search(kept) is not None


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
