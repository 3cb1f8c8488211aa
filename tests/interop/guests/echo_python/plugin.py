"""The echo of tests/programs/echo in Python: every type of a feature, and how nulls come."""

from typing import Annotated, NamedTuple

from skewless_guest import Embedding, Float32, Int32, Timestamp, Unit, transform


class Echo(NamedTuple):
    """Everything that came."""

    flag: bool | None
    small: Int32 | None
    whole: int | None
    single: Float32 | None
    double: float | None
    text: str | None
    bytes: bytes | None
    at: Timestamp | None
    embedding: Embedding[3] | None
    wholes: list[int] | None
    more_wholes: list[int] | None
    doubles: list[float] | None
    texts: list[str] | None
    plain_whole: int | None
    plain_text: str | None


@transform
def echo(
    flag: bool | None,
    small: Int32 | None,
    whole: int | None,
    single: Float32 | None,
    double: Annotated[float | None, Unit("m")],
    text: str | None,
    bytes: bytes | None,
    at: Timestamp | None,
    embedding: Embedding[3] | None,
    wholes: list[int] | None,
    more_wholes: list[int] | None,
    doubles: list[float] | None,
    texts: list[str] | None,
    plain_whole: int,
    plain_text: str,
) -> Echo:
    """Gives back what it is given."""
    return Echo(
        flag, small, whole, single, double, text, bytes, at, embedding, wholes, more_wholes, doubles, texts, plain_whole, plain_text
    )
