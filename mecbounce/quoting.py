"""What others say, made fit to be told: one line, of bounded length, without what looks like a secret.

A bounded beginning of it is read, by a pattern that goes over no part of it again and again. A text may pass here more
than once: what is hidden stays hidden, and what is told is told again.
"""

from __future__ import annotations

import re

LONGEST = 1000  # characters that are told
_READ = 4 * LONGEST  # characters that are looked at

# How secrets are called. (?i) is slow: the first letter stands outside of it, so that most places are passed at once.
_PASSWORD = r"[Pp](?i:ass(?:word|wd|phrase)|wd|ass(?<!bypass)(?<!compass))s?\d?"  # noqa: S105 -- a name
_OTHER = (
    r"(?:[Ss](?i:ecret(?<!pullsecret)(?<!pull[-_]secret)|ignature|ig(?<![a-z]sig))"
    r"|[Tt](?i:oken)|[Cc](?i:redential|ookie)"
    r"|[AaEeMmPpSs](?i:(?:ccess|ccount|pi|uth|ncryption|aster|rivate|ecret|hared|igning|torage)[-_]?key))s?\d?"
)
_NAME = rf"(?:{_PASSWORD}|{_OTHER})"
_QUOTE = r"\\*+[\"']"  # JSON that was quoted itself has backslashes
_IS = r" ?(?:=>|:=|[=:]) ?"
_INVALID = r"\]?: (?:Invalid|Unsupported) value: "  # how the API server begins to quote a field
_FLAG = r"-(?<![\w-]-)-?[\w-]*?"
_ANNOUNCED = rf"(?:{_NAME}(?:{_INVALID}|(?:{_QUOTE})?{_IS})|[Pp](?i:assword)(?: is)? |{_FLAG}{_NAME}(?: |{_QUOTE},? ?))"
_SCHEME = r"(?i:basic|bearer|negotiate|token|apikey)(?: |%20)"
_AUTHORIZATION = r"[Aa](?i:uthorization)[\"'\\]{0,4} ?[=:][^\w*]{0,6}+"
# Words of prose, or the name of an object: "secret: db-credentials not found" tells which Secret is missing.
# *** may stand at their end, so that a text which passes here again stays as it is.
_WORDS = r"[a-zA-Z]{0,24}+\d?(?:[._/-][a-zA-Z]{0,24}+\d?)*+(?:\*\*\*)?(?=[,;:.)\"']*+(?:\s|\Z))"
_VALUE = r"(?:[^\s\"',;&)}\]]|[,)}\]](?=\S))"  # one character of what no quotes enclose

# It has blanks, so it goes first: "password=" would end at the first one.
_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----.*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)")
# The secret is what the group finds; what stands before it is told.
_SECRETS = re.compile(
    "|".join(
        (
            # Of an address: user and password. What follows its host may be a port.
            r"://([^/\s:@\"']{0,200}:(?!\d{1,5}[/?#])(?:[^\s\"'/]{1,200}(?=@)|[^\s\"'@]{1,200}(?=@)))",
            rf"{_AUTHORIZATION}{_SCHEME}({_VALUE}+)",
            rf"{_AUTHORIZATION}(?!{_SCHEME}|{_WORDS})({_VALUE}{{8,}})",
            r"[Bb](?i:(?<=\bb)(?:asic|earer)(?: |%20))([\w.~+/=%-]{16,})",  # longer than any word that may follow
            rf"-(?<![\w-]-)(?:u|-user) [^\s:]{{1,200}}:({_VALUE}+)",  # as curl is told
            # Keys of clouds and code hosts, by their beginnings; JSON in base64.
            r"((?:A(?:KIA|SIA|Iza)|g(?:h[oprsu]_|ithub_pat_|lpat-)|npm_|[rs]k_live_|xox[abeprs]-|hv[bs]\.|ya29\.)[\w-]{10,})",
            r"(eyJ[\w-]{8,}[\w.-]*)",
            # By its name: in quotes, as a number, to the next blank.
            rf"{_ANNOUNCED}(?P<quote>{_QUOTE})((?!(?P=quote)).*?(?=(?<!\\)(?P=quote)|\Z))",
            rf"{_NAME}{_QUOTE}{_IS}(\d{{4,}}\w*)",
            rf"(?:{_PASSWORD}{_IS}(?!(?:Invalid|Unsupported) value)|{_FLAG}{_PASSWORD} )({_VALUE}{{4,}})",
            rf"(?:{_OTHER}(?: ?(?:=>|:=|=) ?|:(?! )| ?: (?!{_WORDS}))|{_FLAG}{_OTHER} (?!{_WORDS}))({_VALUE}{{4,}})",
        )
    )
)


def quoted(text: object) -> str:
    """Give the text on one line, with *** for what looks like a secret and � for what a terminal would obey."""
    whole = str(text)
    words = whole[:_READ].split()
    if len(whole) > _READ:
        words = words[:-1]  # half a word may be half a secret
    line = " ".join(words)
    if not line.isprintable():
        line = "".join(one if one.isprintable() else "�" for one in line)
    line = _SECRETS.sub(_hidden, _KEY.sub("***", line))
    return line if len(line) <= LONGEST and len(whole) <= _READ else f"{line[: LONGEST - 3]}..."


def _hidden(found: re.Match[str]) -> str:
    told = found.start(found.lastindex or 0) - found.start()
    return f"{found[0][:told]}***"
