"""The rules of deny.toml that need no list from elsewhere, for where cargo-deny is not installed."""

from crates import DENY
from license_expression import ExpressionError, get_spdx_licensing

SPDX = get_spdx_licensing()
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def licences(crates):
    """A crate's licence is an expression; one way to fulfil it must be allowed in full."""
    allowed = set(DENY["licenses"]["allow"])
    lines = []
    for crate in in_order(crates):
        text = crate.package["license"]
        if text is None:
            lines.append(f"{crate.name}: names no licence")
            continue
        try:
            # Older crates write a slash for OR.
            expression = SPDX.parse(text.replace("/", " OR "), validate=True)
        except ExpressionError as error:
            lines.append(f"{crate.name}: {text}: {error}")
            continue
        if not is_allowed(expression, allowed):
            lines.append(f"{crate.name}: {text} is not allowed")
    return lines


def is_allowed(expression, allowed):
    if isinstance(expression, SPDX.OR):
        return any(is_allowed(part, allowed) for part in expression.args)
    if isinstance(expression, SPDX.AND):
        return all(is_allowed(part, allowed) for part in expression.args)
    # One licence, perhaps WITH an exception, which is a licence of its own.
    return str(expression) in allowed


def sources(crates):
    """Everything is from the one registry, but what is here."""
    others = [crate for crate in in_order(crates) if not crate.is_ours]
    return [f"{one.name}: from {one.package['source']}" for one in others if one.package["source"] != REGISTRY]


def wildcards(crates):
    """No dependency of ours may be of any version, but our own crates, which have no other version than this."""
    own = [one for crate in in_order(crates) if crate.is_ours for one in crate.package["dependencies"]]
    return sorted({f"{one['name']}: any version" for one in own if one["req"] == "*" and "path" not in one})


def in_order(crates):
    return sorted(crates.values(), key=lambda crate: crate.name)
