"""Who may do what: rights, impersonation, and the review that ``kubectl auth can-i`` asks for."""

from __future__ import annotations

from mecbounce.sandbox import errors
from mecbounce.sandbox.answers import TEXT, Answer
from mecbounce.sandbox.requests import Call
from mecbounce.sandbox.resources import Object
from mecbounce.sandbox.routes import ACCESS_REVIEWS, Target


class Access:
    """The rights of all users: everything is allowed that is not forbidden.

    ``forbidden`` holds (user, verb, resource). User None means every user; ``"*"`` means each verb or resource; a
    subresource is written ``pods/proxy``.
    """

    def __init__(self) -> None:
        self.forbidden: set[tuple[str | None, str, str]] = set()

    def is_forbidden(self, user: str, verb: str, resource: str) -> bool:
        matching = ((u, v, r) for u in (user, None) for v in (verb, "*") for r in (resource, "*"))
        return not self.forbidden.isdisjoint(matching)

    def authorise(self, call: Call, target: Target) -> None:
        """Raise the 403 of a request that its user has no right to."""
        resource, subresource, request = target.resource, target.subresource, call.request
        plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
        if resource != ACCESS_REVIEWS and self.is_forbidden(request.user, request.verb, plural):
            raise errors.forbidden(
                resource,
                request.verb,
                name=target.name,
                namespace=target.namespace,
                user=request.user,
                subresource=subresource,
            )

    def refuse_impersonation(self, call: Call) -> Answer | None:
        """Refuse an impersonation, by returning or raising it, if the user has no right to a part of it."""
        given = call.impersonated
        claims: list[tuple[str, str, str]] = []
        match given.get("user", "").split(":"):
            case ["system", "serviceaccount", namespace, name]:
                claims.append(("serviceaccounts", namespace, name))
            case _ if "user" in given:
                claims.append(("users", "", given["user"]))
        claims += [("groups", "", group) for group in given.get("groups", ())]
        claims += [("uids", "", given["uid"])] if given.get("uid") else []
        claims += [(f"userextras/{key}", "", one) for key, values in given.get("extra", {}).items() for one in values]
        if claims and "user" not in given:
            listed = " ".join(f"{resource}:{name}" for resource, _, name in claims)
            message = f'Internal Server Error: "{call.uri}": requested [{listed}] without impersonating a user\n'
            return Answer(500, message, TEXT)
        for plural, namespace, name in claims:
            if self.is_forbidden(call.token_user, "impersonate", plural):
                raise errors.may_not_impersonate(plural, name, namespace=namespace, user=call.token_user)
        return None

    def review(self, review: Object, user: str) -> Object:
        """Answer a SelfSubjectAccessReview."""
        spec = review.get("spec", {})
        if not {"resourceAttributes", "nonResourceAttributes"} & spec.keys():
            why = "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise errors.invalid(ACCESS_REVIEWS, "", "spec.resourceAttributes", why)
        asked = spec.get("resourceAttributes") or {}
        plural = "/".join(filter(None, (asked.get("resource", "*"), asked.get("subresource", ""))))
        allowed = not self.is_forbidden(user, asked.get("verb", "*"), plural)
        return {
            "kind": ACCESS_REVIEWS.kind,
            "apiVersion": ACCESS_REVIEWS.api_version,
            "metadata": {"creationTimestamp": None},
            "spec": spec,
            "status": {"allowed": allowed, **({"reason": "the sandbox allows it"} if allowed else {})},
        }
