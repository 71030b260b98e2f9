"""The relations of the project's own schemes."""

from __future__ import annotations

from collections.abc import Mapping

from sockiter.prove.cookie_udp import CookieUdpRelation
from sockiter.prove.full_batch_held import FullBatchHeldRelation
from sockiter.prove.index import IndexRelation
from sockiter.prove.key_order import KeyHomeRelation, KeyOrderRelation
from sockiter.prove.relation import Relation
from sockiter.schemes.scheme import AnyScheme

RELATIONS: Mapping[str, Relation] = {
    "cookie-udp": CookieUdpRelation(),
    "full-batch-held": FullBatchHeldRelation(),
    "index": IndexRelation(),
    "key-home": KeyHomeRelation(),
    "key-order": KeyOrderRelation(),
}
"""By the names of the schemes."""


def relation_of(scheme: AnyScheme) -> Relation | None:
    """The relation of a scheme, or None if it has none."""
    relation: Relation | None = getattr(scheme, "relation", None) or RELATIONS.get(scheme.name)
    return relation
