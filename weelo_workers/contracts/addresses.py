"""Which IP addresses are public, so that requests on behalf of users cannot reach this system's own network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# NAT64 (RFC 6052): an IPv6-only network reaches IPv4 hosts by these addresses, so the embedded address is checked.
_NAT64 = IPv6Network("64:ff9b::/96")
# IPv6 addresses that are assigned on the public Internet (RFC 4291, section 2.4). Everything else is reserved.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# The former anycast prefix of 6to4 relays (RFC 7526). Python treats it as public, so it is refused separately.
_6TO4_RELAYS = IPv4Network("192.88.99.0/24")


def is_public(host: str) -> bool | None:
    """Return whether this IP address is a public unicast address; None if the text is not an IP address.

    An IPv4 address that is embedded in an IPv6 one (mapped, 6to4, NAT64) has to be public itself.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return _is_public_v4(address) if isinstance(address, IPv4Address) else _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    # `is_global` is False for private, loopback, link-local, shared (CGNAT), reserved and unspecified addresses.
    return address.is_global and not address.is_multicast and address not in _6TO4_RELAYS


def _is_public_v6(address: IPv6Address) -> bool:
    if address in _NAT64:
        return _is_public_v4(IPv4Address(int(address) & 0xFFFFFFFF))
    for embedded in (address.ipv4_mapped, address.sixtofour):
        if embedded is not None:
            return _is_public_v4(embedded)
    return address.is_global and address in _GLOBAL_UNICAST
