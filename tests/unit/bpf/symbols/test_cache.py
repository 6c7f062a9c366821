"""The bounded cache of symbols."""

from __future__ import annotations

from quarterdeck.bpf.symbols.cache import Cache


def test_the_least_recently_used_goes_first() -> None:
    cache = Cache[str, int](max_entries=2, max_bytes=100)
    cache.put("a", 1, nbytes=1)
    cache.put("b", 2, nbytes=1)
    assert cache.get("a") == 1
    cache.put("c", 3, nbytes=1)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    assert len(cache) == 2


def test_weight_counts_and_the_newest_stays() -> None:
    cache = Cache[str, int](max_entries=10, max_bytes=100)
    cache.put("a", 1, nbytes=60)
    cache.put("b", 2, nbytes=30)
    cache.put("b", 3, nbytes=40)
    assert (cache.nbytes, cache.get("a"), cache.get("b")) == (100, 1, 3)
    cache.put("c", 4, nbytes=500)
    assert (cache.nbytes, len(cache), cache.get("c")) == (500, 1, 4)
    cache.put("d", 5, nbytes=1)
    assert (cache.nbytes, cache.get("c"), cache.get("d")) == (1, None, 5)
