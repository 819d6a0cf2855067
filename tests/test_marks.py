"""The mark of decoded pictures: in a packet of its own, or in the one that was kept, without harm to what that says."""

from xml.etree import ElementTree

import pytest

from osdcodec.image import marks

RDF, XMP = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://ns.adobe.com/xap/1.0/}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
KEPT = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="uuid:1" xmlns:xap="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xap:CreatorTool="A camera" xap:Rating="5">
<dc:creator><rdf:Seq><rdf:li>Zoë</rdf:li></rdf:Seq></dc:creator>
<i:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture</i:DigitalSourceType>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def properties(packet: bytes) -> dict[str, list[str]]:
    """Name -> values, of attributes and elements of all descriptions."""
    found: dict[str, list[str]] = {}
    for description in ElementTree.fromstring(packet.decode().strip()).iter(f"{RDF}Description"):
        for name, value in description.attrib.items():
            found.setdefault(name, []).append(value)
        for child in description:
            found.setdefault(child.tag, []).append("".join(child.itertext()).strip())
    return found


def test_a_packet_of_our_own():
    packet = marks.packet('osdc "1" <&>')
    found = properties(packet)
    assert found[f"{XMP}CreatorTool"] == ['osdc "1" <&>'] and found[f"{IPTC}DigitalSourceType"] == [marks.SOURCE_TYPE]
    assert marks.is_bare(packet) and not marks.is_bare(KEPT) and not marks.is_bare(b"")


def test_a_kept_packet_keeps_all_but_what_would_contradict():
    packet = marks.packet("osdc 1", KEPT)
    found = properties(packet)
    assert found[f"{XMP}CreatorTool"] == ["osdc 1"] and found[f"{IPTC}DigitalSourceType"] == [marks.SOURCE_TYPE]
    assert found[f"{XMP}Rating"] == ["5"] and found["{http://purl.org/dc/elements/1.1/}creator"] == ["Zoë"]
    assert set(found[f"{RDF}about"]) == {"uuid:1"} and not marks.is_bare(packet)
    assert properties(marks.packet("osdc 2", packet))[f"{XMP}CreatorTool"] == ["osdc 2"]  # again, and still once


def test_a_packet_without_descriptions_gets_one():
    empty = b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
    assert properties(marks.packet("osdc 1", empty))[f"{XMP}CreatorTool"] == ["osdc 1"]


@pytest.mark.parametrize("broken", [b"<x/>", b"\xff\xfe<rdf:RDF>", b"no XML at all"])
def test_what_is_no_packet_stays_as_it_is(broken):
    assert marks.packet("osdc 1", broken) == broken
