"""Artifacts in an object store, by the same rules as in a folder."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from headrace.engine.artifacts import FileArtifacts, open_artifacts
from headrace.engine.artifacts.objects import ObjectArtifacts
from headrace.engine.core.evaluation import Artifact
from headrace.engine.ports.artifacts import ArtifactMissing

DATA = b"x" * 300_000


async def test_what_one_puts_another_gets() -> None:
    store = MemoryStore()
    kept = await ObjectArtifacts(store, "s3://here").put(DATA)
    assert (kept.digest, kept.size) == (sha256(DATA).hexdigest(), len(DATA))
    assert await ObjectArtifacts(store, "s3://here").get(kept) == DATA
    assert await ObjectArtifacts(store, "s3://here").put(DATA) == kept


async def test_a_folder_and_an_object_store_name_them_alike(tmp_path: Path) -> None:
    assert await FileArtifacts(tmp_path).put(DATA) == await ObjectArtifacts(MemoryStore(), "s3://x").put(DATA)


async def test_what_is_not_there_or_damaged_is_missing() -> None:
    store = MemoryStore()
    artifacts = ObjectArtifacts(store, "s3://here/below")
    digest = sha256(b"other").hexdigest()
    with pytest.raises(ArtifactMissing, match="in s3://here/below"):
        await artifacts.get(Artifact("", digest, 5))
    await store.put_async(f"sha256/{digest[:2]}/{digest}", b"wrong")
    with pytest.raises(ArtifactMissing, match="damaged"):
        await artifacts.get(Artifact("", digest, 5))
    with pytest.raises(ArtifactMissing, match="no SHA-256"):
        await artifacts.get(Artifact("", "../" * 21 + "a", 5))


async def test_a_damaged_copy_of_another_size_is_written_again() -> None:
    store = MemoryStore()
    artifacts = ObjectArtifacts(store, "s3://here")
    kept = await artifacts.put(DATA)
    await store.put_async(kept.uri, b"half")
    await artifacts.put(DATA)
    assert await artifacts.get(kept) == DATA


async def test_a_store_that_cannot_be_reached_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from obstore.store import S3Store

    store = S3Store(
        "bucket",
        endpoint="http://127.0.0.1:9",
        region="x",
        access_key_id="a",
        secret_access_key="b",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    artifacts = ObjectArtifacts(store, "s3://bucket")
    with pytest.raises(OSError, match=r"s3://bucket does not take an artifact: [^\n]+$"):
        await artifacts.put(DATA)
    with pytest.raises(OSError, match="s3://bucket does not give"):
        await artifacts.get(Artifact("", sha256(DATA).hexdigest(), 1))


async def test_a_place_is_a_folder_or_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    for folder in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        kept = await open_artifacts(folder).put(b"same")
    assert (tmp_path / kept.uri).read_bytes() == b"same"
    assert isinstance(open_artifacts("s3://bucket/prefix"), ObjectArtifacts)
    with pytest.raises(ValueError, match="zip: is no kind of artifact store; there are s3, gs"):
        open_artifacts("zip://x")
    with pytest.raises(ValueError, match="az://x names no artifact store"):
        open_artifacts("az://me:secret@x")
