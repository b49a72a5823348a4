"""Others' words are told on one line, of bounded length, in bounded time, without what looks like a secret."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mecbounce.quoting import LONGEST_TEXT, quoted

HIDDEN = {
    "AccountName=mec;AccountKey=Zm9vYmFy+/x==;EndpointSuffix=x": "AccountName=mec;AccountKey=***;EndpointSuffix=x",
    "SharedAccessSignature=sv=2020&sig=abc%3D&se=1": "SharedAccessSignature=***&sig=***&se=1",
    "https://x.example.com/y?sv=1&sig=Zm9v%2B&se=2": "https://x.example.com/y?sv=1&sig=***&se=2",
    "GET /x?X-Amz-Signature=deadbeef1&y=1": "GET /x?X-Amz-Signature=***&y=1",
    "AKIAIOSFODNN7EXAMPLE": "***",
    "got glpat-0123456789abcdef": "got ***",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJt.c2Vj-cmV0 expired": "*** expired",
    "Authorization: Bearer abc123": "Authorization: Bearer ***",
    "Authorization:[Basic dXNlcg==]": "Authorization:[Basic ***]",
    "authorization: 0123456789abcdef": "authorization: ***",
    "basic bWVjOmh1bnRlcjJodW50ZXIy": "basic ***",
    "postgres://mec:hunter2@db:5432/x": "postgres://***@db:5432/x",
    "redis://:hunter2@db": "redis://***@db",
    "amqp://mec:hunt@er2@mq": "amqp://***@mq",
    "amqp://mec:hunter/2@mq": "amqp://***@mq",
    "https://hunter2Zq9@github.com/x": "https://***@github.com/x",
    "https://0123456789abcdef0123@sentry.example.com/1": "https://***@sentry.example.com/1",
    "pass=hunter2": "pass=***",
    "passcode=hunter2": "passcode=***",
    "pw=hunter2": "pw=***",
    "DB_PW: hunter2": "DB_PW: ***",
    "GET /x?q=password%3Dhunter2": "GET /x?q=password%3D***",
    "GET /x?q=token%3Dhunter2": "GET /x?q=token%3D***",
    "passphrase for key: hunter2": "passphrase for key: ***",
    "the password is hunter2Zq9, bob": "the password is ***, bob",
    "the passcode was hunter2Zq9": "the passcode was ***",
    "PGPASSWORD hunter2Zq9": "PGPASSWORD ***",
    "token hunter2Zq9 expired": "token *** expired",
    "bearer hunter2Zq9": "bearer ***",
    "api key hunter2Zq9 is wrong": "api key *** is wrong",
    "secret key is hunter2Zq9": "secret key is ***",
    "credentials mec:hunter2Zq9 do not work": "credentials *** do not work",
    "credentials hunter2Zq9": "credentials ***",
    "mysql -phunter2 -u root": "mysql -p*** -u root",
    "mysqladmin ping -h 127.0.0.1 -uroot -phunter2": "mysqladmin ping -h 127.0.0.1 -uroot -p***",
    "got sk-proj-0123456789abcdef": "got ***",
    "got dckr_pat_0123456789abcdef": "got ***",
    "got SG.0123456789abcdefghijkl.0123456789-abcdef. Next": "got ***. Next",
    "DB_PASS: hunter": "DB_PASS: ***",
    "Server=db;Pwd=hunter2;Pooling=no": "Server=db;Pwd=***;Pooling=no",
    "password=a,hunter2 y": "password=*** y",
    "password: hunter2 value y": "password: *** value y",
    "{User:mec Password:hunter2}": "{User:mec Password:***}",
    'password = "two words" x': 'password = "***" x',
    "the password is 'hunter2'": "the password is '***'",
    "client-secret => hunter2": "client-secret => ***",
    "secret: 9f86d081884c7d65": "secret: ***",
    "api_key: abcdefghijklmnopqrstuvwxyz": "api_key: ***",
    '{"password":"hunter2"}': '{"password":"***"}',
    '{"password":"a\\"hunter2"}': '{"password":"***"}',
    '{\\"access_token\\": \\"hunter2\\"}': '{\\"access_token\\": \\"***\\"}',
    '"token": 12345678': '"token": ***',
    '"password":"cut off': '"password":"***',
    "mysql --password hunter2 --quick": "mysql --password *** --quick",
    "vault --auth-token=hunter2": "vault --auth-token=***",
    '["--db-password","hunter2"]': '["--db-password","***"]',
    "[curl -u mec:hunter2 http://db]": "[curl -u mec:*** http://db]",
    'spec.password: Invalid value: "hunter2": too short': 'spec.password: Invalid value: "***": too short',
    'data[token]: Invalid value: "hunter2"': 'data[token]: Invalid value: "***"',
    'users[1].password: Duplicate value: "hunter2"': 'users[1].password: Duplicate value: "***"',
    "-----BEGIN RSA PRIVATE KEY-----\nMIIh\nbnRl\n-----END RSA PRIVATE KEY----- x": "*** x",
    "-----BEGIN PRIVATE KEY-----\\nMIIhbnRl": "***",
    "password=-----BEGIN PRIVATE KEY-----\nMIIh\nbnRl\n-----END PRIVATE KEY----- x": "password=*** x",
    "authorization: 0123456789abcdef;AccountKey=hunter2": "authorization: ***;AccountKey=***",
    "token: a/-----BEGIN PRIVATE KEY-----\nMIIh\nbnRl\n-----END PRIVATE KEY----- x": "token: a/*** x",
}
READABLE = (
    "token expired",
    "spec.password: Required value: must be given",
    "authorization: couldn't be asked",
    "token: EOF",
    "invalid bearer token, Token has expired",
    "Basic authentication is off",
    'password authentication failed for user "mec"',
    "Access denied for user 'mec'@'10.0.0.1' (using password: YES)",
    'secret "db-credentials" not found',
    "failed to get secret: db-credentials-2 not found",
    "secret: mec/mec-0-tls",
    'MountVolume.SetUp failed for volume "db-secret" : secret "db-credentials" not found',
    'Error: secret "db-password" not found',
    'secret "db-password" is forbidden: not allowed',
    "Bearer token is invalid",
    "token: invalid signature",
    "couldn't find key password in Secret mec/db-credentials",
    "references non-existent secret key: tls.key",
    'secrets "db-token" is forbidden: User "mec" cannot get resource "secrets" in API group ""',
    'secret "db-token": forbidden',
    'secret keys "password", "user" are missing',
    "spec.imagePullSecrets: regcred-22x is not allowed",
    "failed to fetch oauth token: unexpected status: 401 Unauthorized",
    "server message: insufficient_scope: authorization failed",
    "failed to sync secret cache: timed out waiting for the condition",
    'Failed to pull image "https://registry.example.com:5000/mec@sha256:0123456789": not found',
    "registry.example.com:5000/mec:1.2@sha256:0123456789abcdef",
    'Get "https://10.0.0.1:443/api": dial tcp 10.0.0.1:443: connect: connection refused',
    f'Failed to pull image "reg.example.com/mec@sha256:{"0123456789abcdef" * 4}": failed to fetch anonymous token: 401',
    "GET request to https://reg.example.com/token?scope=repository%3Amec%3Apull&service=reg: 401 Unauthorized",
    "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may not succeed.",
    "open /var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory",
    "did not pass: 3",
    "bypass=enabled",
    "unknown flag: --token",
    "token must be renewed",
    "the bearer token is invalid",
    "token 2026-01-02T03:04:05Z is in the past",
    "token default-token-x7k2p is not found",
    "token https://Auth0.example.com/x was refused",
    "Bearer TokenReview failed",
    "password is required",
    "the password is base64-encoded",
    "password is too short, 8 characters are needed",
    "no passcode is set",
    "did not pass Stage2Check",
    "api key is missing",
    "the API key was refused",
    "secret is immutable",
    "secret key is missing",
    "secret key rootCA2.crt is not in Secret mec/tls",
    "references non-existent secret key: rootCA2.crt",
    "secret Prod/MecDb2 does not exist",
    "no basic auth credentials",
    "credentials expired: 401",
    "credentials arn:aws:iam::123456789012:role/Mec are refused",
    "mysql -P3306 -u root: connection refused",
    "mysqladmin ping -h 127.0.0.1 -p: no password was given",
    "mysql-0 failed: mkdir -pv /data: read-only file system",
    "passphrase for key tls.key is needed",
    "git clone ssh://git@git.example.com/mec failed",
    "postgres://mec-service-2@db.example.com/mec: connection refused",
    "docker-pullable://mec-1.2.3@sha256:0123456789abcdef",
    "https://reg.example.com?account=mec@example.com: 401",
    "pod disk-proj-0123456789 is not ready",
    "deploy.MSG.example-host.example.com: no such host",
    "pw is not set",
)
HOSTILE = (
    "a-",
    "password",
    "password: ",
    "password=",
    'password="',
    "password\\\\",
    "password=a,",
    "token: a/",
    "--password",
    "-",
    "://a:b",
    "://a:b@",
    "-----BEGIN ",
    "-----BEGIN A-----",
    "eyJ",
    "bearer%20",
    "authorization: ",
    "authorization: a/",
    "authorization=bearer ",
    "-u a:",
    "://a1b2c3d4",
    "pw Aa1",
    "password is ",
    "token Aa",
    "bearer aB1-",
    "credentials a1:",
    "credentials a",
    "mysql -u a",
    "mysql ping",
    "mysql ",
    "mysql",
    "sk-proj-",
    "SG.",
    "ya29.aaaaaaaaaa.",
    "\\",
    '"',
    " ",
    "\x1b",
)


@pytest.mark.parametrize(("said", "told"), HIDDEN.items(), ids=range(len(HIDDEN)))
def test_what_looks_like_a_secret_is_hidden_and_what_stands_around_it_stays(said: str, told: str) -> None:
    assert told == quoted(said)
    assert f"no: {told}" == quoted(f"no: {said}")
    assert told == quoted(told)


@pytest.mark.parametrize("said", READABLE)
def test_what_a_person_needs_stays(said: str) -> None:
    assert said == quoted(said)


def test_it_is_one_line_without_what_a_terminal_would_obey() -> None:
    assert "two lines �[31mred �back half�" == quoted(" two\r\n\tlines \x1b[31mred \u202eback half\ud83d ")


@pytest.mark.parametrize("blanks", [0, 70], ids=["one_word", "words"])
def test_what_is_long_is_cut(blanks: int) -> None:
    assert LONGEST_TEXT == len(quoted("word " * 300))
    assert quoted("word " * 300).endswith("wo...")
    far = "password=" + " " * blanks + "x" * 10_000
    assert "x" not in quoted(far)


@pytest.mark.parametrize("before", range(480, 500))
def test_a_secret_that_is_cut_in_two_is_hidden_too(before: int) -> None:
    """A text is cut before it is looked at: what tells that there is a secret may be beyond the cut."""
    said = " " * 3000 + "a " * before + "postgres://mec:hunter2hunter2hunter2@db" + " c" * 1000
    assert "hunter" not in quoted(said)


@settings(max_examples=300, derandomize=True)
@given(st.lists(st.sampled_from([*HIDDEN, *READABLE, *HOSTILE]), max_size=6), st.text(max_size=20))
def test_what_was_told_once_can_be_told_again(parts: list[str], between: str) -> None:
    told = quoted(between.join(parts))
    if len(told) < LONGEST_TEXT:  # else a mark of ours may be cut in two
        assert told == quoted(told)


@pytest.mark.parametrize("size", [4_000, 8_000, 1_000_000])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_takes_long(hostile: str, size: int) -> None:
    """It is a few milliseconds, whatever the length. Where a pattern goes to and fro, it is seconds."""
    text = (hostile * size)[:size]
    took = []
    for said in (text, " ".join(text[start : start + 3900] for start in range(0, size, 3900))):
        for _ in range(3):
            began = time.perf_counter()
            quoted(said)
            took.append(time.perf_counter() - began)
    assert min(took[:3]) < 0.1
    assert min(took[3:]) < 0.1
