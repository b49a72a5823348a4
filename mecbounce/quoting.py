"""Texts from outside, made safe to show: one line, of bounded length, without what looks like a secret.

Only the beginning of a long text is read, in time that grows with its length alone. A text may be quoted twice: what
is hidden stays hidden, and the rest stays as it is.
"""

from __future__ import annotations

import re

LONGEST_TEXT = 1000  # characters that are shown
_READ = 4 * LONGEST_TEXT  # characters that are read

_PASSWORD = r"(?:pass(?:word|wd|phrase|code)|pass(?<!bypass)(?<!compass)|pwd|(?<![a-z])pw)s?\d?"  # noqa: S105 -- a name
_KEY = r"(?:access|account|api|auth|encryption|master|private|secret|shared|signing|storage)[-_]?key"
_OTHER = rf"(?:{_KEY}|secret(?<!pullsecret)|signature|sig(?<![a-z]sig)|token|credential|cookie)s?\d?"
_NAME = rf"(?:{_PASSWORD}|{_OTHER})"
_OPTION = r"-(?<![\w-]-)-?[\w-]*?"  # the beginning of one, such as --db-
_QUOTE = r"\\*+[\"']"  # JSON that was quoted itself has backslashes
_IS = r" ?(?:=>|:=|[=:]|%3D) ?"
_FAULT = r"(?:Invalid|Unsupported|Duplicate|Required) value"  # what the API server says of a field
_SCHEME = r"(?:basic|bearer|negotiate|token|apikey)(?: |%20)"
# Words of prose, or the name of an object: "secret: db-credentials not found" tells which Secret is missing.
# *** may be at their end, so that a text which is quoted again stays as it is.
_WORDS = r"[a-z]{0,24}+\d?(?:[._/-][a-z]{0,24}+\d?)*+(?:\*\*\*)?(?=[,;:.)\"']*+(?:\s|\Z))"
_VALUE = r"(?:[^\s\"',;&)}\]]|[,)}\]](?=\S))"  # one character of a value without quotes
# After a blank most words are prose or names of objects, which never have a digit and letters of both cases.
_NO_WORD = rf"(?-i:(?=\w)(?=[^\s:]{{0,40}}\d)(?=[^\s:]{{0,40}}[a-z])(?=[^\s:]{{0,40}}[A-Z])){_VALUE}{{8,}}"

# It has blanks, so it is hidden first: "password=" would end at the first one.
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----.*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)")
# What each looks like, in any case. The last group of a pattern is the secret; the text before it is shown.
_SECRETS = {
    # A password ends at the last @ before a slash; one with a slash in it, at the first @. A port is no password.
    "user and password of an address": (
        r"://([^/\s:@\"']{0,200}:(?!\d{1,5}[/?#])(?:[^\s\"'/]{1,200}(?=@)|[^\s\"'@]{1,200}(?=@)))"
    ),
    # A user's name stays, and so does an image with its digest.
    "token alone in an address": r"://(?![a-z._-]{0,40}\d?@)([^/\s:@\"'?#]{8,200})(?=@(?!sha\d))",
    "Authorization header": (
        r"authorization[\"'\\]{0,4} ?[=:][^\w*]{0,6}+"
        rf"(?:{_SCHEME}|(?!{_SCHEME}|{_WORDS})(?={_VALUE}{{8}}))({_VALUE}+)"
    ),
    "Basic or Bearer without a header": r"(?:basic|bearer)(?: |%20)([\w.~+/=%-]{16,})",  # longer than any word
    "user and password for curl": rf"-(?<![\w-]-)(?:u|-user) [^\s:]{{1,200}}:({_VALUE}+)",
    "password for mysql": (  # -P is the port
        rf"mysql(?:admin|dump)?(?: ping| -[uhP] ?[\w.-]{{1,60}}){{0,3}} (?-i:-p)(?!:)({_VALUE}+)"
    ),
    "key of a cloud or code host": (
        r"((?-i:AKIA|ASIA|AIza|gh[oprsu]_|github_pat_|glpat-|npm_|[rs]k_live_|xox[abeprs]-|hv[bs]\.|ya29\."
        r"|dckr_pat_|(?<!\w)sk-(?:ant|proj)-|SG\.(?=[\w-]{22}\.))[\w-]{10,}(?:\.[\w-]+)*)"
    ),
    "JSON Web Token": r"(eyJ[\w-]{8,}[\w.-]*)",
    "named, in quotes": (
        rf"(?:{_NAME}(?:\]?: {_FAULT}: |(?:{_QUOTE})?{_IS})|password(?: is)? |{_OPTION}{_NAME}(?: |{_QUOTE},? ?))"
        rf"(?P<quote>{_QUOTE})((?!(?P=quote)).*?(?=(?<!\\)(?P=quote)|\Z))"
    ),
    "named, a number in JSON": rf"{_NAME}{_QUOTE}{_IS}(\d{{4,}}\w*)",
    "named a password": rf"{_PASSWORD}(?: for key)?{_IS}(?!{_FAULT})({_VALUE}{{4,}})",
    "named a token, a key, ...": rf"{_OTHER}(?: ?(?:=>|:=|=|%3D) ?|:(?! )| ?: (?!{_WORDS}))({_VALUE}{{4,}})",
    "named in prose": (
        r"(?:pass(?:word|phrase|code)|token|bearer|(?:access|api)[-_ ]?key|secret[-_ ]key(?= is ))(?: is| was)? "
        rf"({_NO_WORD})"
    ),
    "user and password in prose": rf"credentials ((?:[\w.@-]{{1,40}}:)?{_NO_WORD})",
    "after an option": rf"{_OPTION}(?:{_PASSWORD} |{_OTHER} (?!{_WORDS}))({_VALUE}{{4,}})",
}
_SECRET_OF_ANY_KIND = re.compile("|".join(_SECRETS.values()), re.IGNORECASE)


def quoted(text: object) -> str:
    """Give the text on one line, with *** for what looks like a secret and � for a terminal's control characters."""
    whole = str(text)
    words = whole[:_READ].split()
    if len(whole) > _READ:
        words = words[:-1]  # half a word may be half a secret
    line = printable(" ".join(words))
    line = _SECRET_OF_ANY_KIND.sub(_hidden, _PRIVATE_KEY.sub("***", line))
    return line if len(line) <= LONGEST_TEXT and len(whole) <= _READ else f"{line[: LONGEST_TEXT - 3]}..."


def printable(text: str) -> str:
    """Give the text with � for a terminal's control characters."""
    return text if text.isprintable() else "".join(character if character.isprintable() else "�" for character in text)


def _hidden(found: re.Match[str]) -> str:
    shown = found.start(found.lastindex or 0) - found.start()
    return f"{found[0][:shown]}***"
