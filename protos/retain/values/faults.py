"""How an error says that a value is not what it should be: one sentence for all who find a fault."""


def mismatch(got: object, expected: object) -> str:
    """What a fault says of a value, behind the name of its field: "got 7; expected 1 to 5".

    got: what was found, quoted by the caller (`repr`) where it is a text of somebody else's; expected: what would have
    been right, as it would stand in the sentence.
    """
    return f"got {got}; expected {expected}"
