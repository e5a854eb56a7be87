from __future__ import annotations

import base64
import json
import pickle
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import SecretStr

from ingress.auth import Authenticator, Scope
from ingress.errors import Forbidden, Unauthorized
from storage.settings import Settings

SECRET = "a secret that is long enough for HS256"
BOTH = {Scope.MESSAGES, Scope.ADMIN}


def claims(**changes: Any) -> dict[str, Any]:
    base = {"exp": time.time() + 60, "aud": "chat-orchestrator", "scope": "messages"}
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


def token_of(algorithm: str = "HS256", key: Any = SECRET, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm)


def authenticator(settings: Settings, **update: Any) -> Authenticator:
    return Authenticator(settings.model_copy(update=update))


@pytest.fixture
def by_secret(settings: Settings) -> Authenticator:
    return authenticator(settings, jwt_secret=SecretStr(SECRET))


def scopes(who: Authenticator, token: str) -> set[Scope]:
    return set(who.authenticate(f"Bearer {token}".encode()).scopes)


def pem_pair(key: Any) -> tuple[str, str]:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public.decode()


@pytest.fixture(scope="module")
def rsa_pair() -> tuple[str, str]:
    return pem_pair(rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.fixture(scope="module")
def ec_pair() -> tuple[str, str]:
    return pem_pair(ec.generate_private_key(ec.SECP256R1()))


def test_the_fixed_tokens_have_their_scopes(settings: Settings) -> None:
    who = authenticator(
        settings,
        pancake_access_token=SecretStr("pancake-token"),
        admin_access_token=SecretStr("ädmin-token"),
    )
    assert scopes(who, "pancake-token") == {Scope.MESSAGES}
    assert scopes(who, "ädmin-token") == BOTH
    for wrong in ("pancake-toke", "pancake-tokenx", "PANCAKE-TOKEN", "x"):
        with pytest.raises(Unauthorized):
            scopes(who, wrong)


def test_a_token_and_its_predecessor_are_both_valid(settings: Settings) -> None:
    names = {
        "pancake_access_token": {Scope.MESSAGES},
        "pancake_access_token_previous": {Scope.MESSAGES},
        "admin_access_token": BOTH,
        "admin_access_token_previous": BOTH,
    }
    who = authenticator(settings, **{name: SecretStr(f"value-of-{name}") for name in names})
    for name, expected in names.items():
        principal = who.authenticate(f"Bearer value-of-{name}".encode())
        assert (principal.name, set(principal.scopes)) == (name.upper(), expected)


def test_tokens_are_kept_as_hashes_only(settings: Settings) -> None:
    update = {"admin_access_token": SecretStr("hidden-1"), "jwt_secret": None}
    assert b"hidden-1" not in pickle.dumps(authenticator(settings, **update))


def test_renewed_tokens_hold_and_unusable_ones_change_nothing(settings: Settings) -> None:
    who = authenticator(settings, admin_access_token=SecretStr("first"))
    newer = settings.model_copy(update={"admin_access_token": SecretStr("second")})
    who.renew(newer)
    assert scopes(who, "second") == BOTH
    with pytest.raises(Unauthorized):
        scopes(who, "first")
    broken = {"admin_access_token": SecretStr("third"), "jwt_public_key": "nonsense"}
    with pytest.raises(ValueError, match=r".+"):
        who.renew(settings.model_copy(update=broken))
    assert scopes(who, "second") == BOTH


def test_keys_of_jwts_have_predecessors_too(
    settings: Settings, rsa_pair: tuple[str, str], ec_pair: tuple[str, str]
) -> None:
    older = "the secret that went before, long enough"
    who = authenticator(
        settings,
        jwt_secret=SecretStr(SECRET),
        jwt_secret_previous=SecretStr(older),
        jwt_public_key=ec_pair[1],
        jwt_public_key_previous=rsa_pair[1],
    )
    for token in (
        token_of(),
        token_of(key=older),
        token_of("ES256", ec_pair[0]),
        token_of("RS256", rsa_pair[0]),
    ):
        assert scopes(who, token) == {Scope.MESSAGES}
    with pytest.raises(Unauthorized, match="expired"):
        scopes(who, token_of(key=older, exp=1))
    with pytest.raises(Unauthorized):
        scopes(who, token_of(key="a third secret that is long enough too"))


def test_a_jwt_is_named_by_its_subject(by_secret: Authenticator) -> None:
    def name(**changes: Any) -> str:
        return by_secret.authenticate(f"Bearer {token_of(**changes)}".encode()).name

    assert name(sub="alice@example.com") == "jwt:alice@example.com"
    assert name() == "jwt"
    assert name(sub="x" * 1000) == "jwt:" + "x" * 128
    assert name(sub="a\ud800b") == "jwt:a\\ud800b"


@pytest.mark.parametrize("header", [b"bearer  pancake-token ", b"BEARER pancake-token"])
def test_the_scheme_is_case_insensitive(settings: Settings, header: bytes) -> None:
    who = authenticator(settings, pancake_access_token=SecretStr("pancake-token"))
    assert who.authenticate(header).scopes


@pytest.mark.parametrize(
    "header", [b"Bearer ", b"Bearer", b"", None, b"Bearer \x00", b"Bearer None"]
)
def test_without_a_token_set_nothing_passes(settings: Settings, header: bytes | None) -> None:
    with pytest.raises(Unauthorized):
        authenticator(settings, pancake_access_token=SecretStr("")).authenticate(header)


def test_principals_are_told_apart_without_keeping_the_token(by_secret: Authenticator) -> None:
    first, second = token_of(), token_of(scope="admin")
    principals = [by_secret.authenticate(f"Bearer {it}".encode()) for it in (first, second, first)]
    assert principals[0].key == principals[2].key != principals[1].key
    assert first not in repr(principals)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("messages", {Scope.MESSAGES}),
        ("admin", BOTH),
        ("other messages", {Scope.MESSAGES}),
        ("messages admin", BOTH),
        ("admins", set()),
        ("", set()),
        (None, set()),
        (["admin"], set()),
        (7, set()),
    ],
)
def test_scopes_of_a_jwt(by_secret: Authenticator, scope: Any, expected: set[Scope]) -> None:
    assert scopes(by_secret, token_of(scope=scope)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": 1},
        {"exp": "soon"},
        {"aud": None},
        {"aud": "other"},
        {"aud": 5},
        {"nbf": 9_999_999_999},
    ],
)
def test_a_jwt_with_bad_claims_is_refused(
    by_secret: Authenticator, changes: dict[str, Any]
) -> None:
    with pytest.raises(Unauthorized):
        scopes(by_secret, _sign(claims(**changes)))


def _sign(payload: dict[str, Any]) -> str:
    return jwt.PyJWS().encode(json.dumps(payload).encode(), SECRET, "HS256")


def test_there_is_no_leeway(by_secret: Authenticator) -> None:
    with pytest.raises(Unauthorized, match="expired"):
        scopes(by_secret, token_of(exp=int(time.time())))


def test_one_of_several_audiences_is_enough(by_secret: Authenticator) -> None:
    assert scopes(by_secret, token_of(aud=["other", "chat-orchestrator"]))


@pytest.mark.parametrize(
    "token", ["a.b.c", "....", "e30.e30.", "ééé", "x" * 10_000, "eyJhbGciOiJIUzI1NiJ9.e30"]
)
def test_what_is_no_jwt_is_refused(by_secret: Authenticator, token: str) -> None:
    with pytest.raises(Unauthorized):
        scopes(by_secret, token)


def test_an_unsigned_jwt_is_refused(by_secret: Authenticator) -> None:
    with pytest.raises(Unauthorized):
        scopes(by_secret, jwt.encode(claims(), "", "none"))


def test_another_secret_or_hash_is_refused(by_secret: Authenticator) -> None:
    with pytest.raises(Unauthorized):
        scopes(by_secret, token_of(key="another secret that is long enough too"))
    with pytest.raises(Unauthorized):
        scopes(by_secret, token_of(algorithm="HS512", key=SECRET * 2))


def test_a_public_key_checks_its_own_algorithm_only(
    settings: Settings, rsa_pair: tuple[str, str], ec_pair: tuple[str, str]
) -> None:
    by_rsa = authenticator(settings, jwt_public_key=rsa_pair[1])
    by_ec = authenticator(settings, jwt_public_key=ec_pair[1])
    rsa_token = token_of("RS256", rsa_pair[0])
    ec_token = token_of("ES256", ec_pair[0])
    assert scopes(by_rsa, rsa_token) == scopes(by_ec, ec_token) == {Scope.MESSAGES}
    for who, token in ((by_rsa, ec_token), (by_ec, rsa_token), (by_rsa, token_of())):
        with pytest.raises(Unauthorized):
            scopes(who, token)
    with pytest.raises(Unauthorized):
        scopes(by_rsa, token_of("PS256", rsa_pair[0]))


def test_a_public_key_is_never_taken_for_a_secret(
    settings: Settings, rsa_pair: tuple[str, str]
) -> None:
    # What an attacker would send who knows the public key: HS256 with it as the secret.
    public = rsa_pair[1]
    signing_input = _part({"alg": "HS256", "typ": "JWT"}) + "." + _part(claims(scope="admin"))
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = algorithm.sign(signing_input.encode(), public.encode())
    forged = f"{signing_input}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    for update in (
        {"jwt_public_key": public},
        {"jwt_public_key": public, "jwt_secret": SecretStr(SECRET)},
    ):
        with pytest.raises(Unauthorized):
            scopes(authenticator(settings, **update), forged)


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_secret_and_public_key_work_side_by_side(
    settings: Settings, ec_pair: tuple[str, str]
) -> None:
    who = authenticator(settings, jwt_secret=SecretStr(SECRET), jwt_public_key=ec_pair[1])
    assert scopes(who, token_of())
    assert scopes(who, token_of("ES256", ec_pair[0]))


def test_an_unusable_public_key_is_said_at_the_start(settings: Settings) -> None:
    _, unusable = pem_pair(ec.generate_private_key(ec.SECP384R1()))
    for key in (unusable, "nonsense"):
        with pytest.raises(ValueError, match=r".+"):
            authenticator(settings, jwt_public_key=key)


def test_a_missing_scope_is_forbidden(by_secret: Authenticator) -> None:
    principal = by_secret.authenticate(f"Bearer {token_of()}".encode())
    principal.require(Scope.MESSAGES)
    with pytest.raises(Forbidden):
        principal.require(Scope.ADMIN)
