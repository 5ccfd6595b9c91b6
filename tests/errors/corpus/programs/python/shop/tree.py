"""Trees of categories."""


class Broken(Exception):
    """A category that cannot be shown."""


def depth(node):
    """How deep a tree is."""
    if node is None:
        return 0
    return 1 + depth(node.get("child"))


def render(node):
    """A tree as text."""
    return node["name"] + render_children(node)


def render_children(node):
    """What is below a node."""
    return "".join(render(child) for child in node.get("children", []))


def check(node, level=0):
    """Raise `Broken` for a node without a name."""
    if not node.get("name"):
        raise Broken(f"category {node.get('id')} on level {level} has no name")
    for child in node.get("children", []):
        check(child, level + 1)


def flatten(value):
    """Numbers of nested lists, through two functions."""
    return [number for part in value for number in _flatten_part(part)]


def _flatten_part(part):
    return flatten(part) if isinstance(part, list) else [int(part)]
