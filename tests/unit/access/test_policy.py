from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.access.policy import Decision, Policy, Principal
from sidecar.settings import App

Rules = tuple[str, ...]
Groups = Mapping[str, Rules]

HOST = "app.example.com"
ALICE = Principal("did:plc:aliceaaaaaaaaaaaaaaaaaaa", "alice.example.com")
BOB = Principal("did:web:bob.example", "bob.test")
NAMELESS = Principal("did:plc:namelessaaaaaaaaaaaaaaaa", None)


def build(groups: Groups, *, allow: Rules, deny: Rules = (), require_handle: bool = False) -> Policy:
    app = App(hosts=(HOST,), allow=allow, deny=deny, require_handle=require_handle)
    return Policy({"wiki": app}, groups, scheme="https")


def policy(*, allow: Rules = (), deny: Rules = (), require_handle: bool = False, **groups: Rules) -> Policy:
    return build(groups, allow=allow, deny=deny, require_handle=require_handle)


def reason(rules: Policy, principal: Principal, host: str = HOST) -> str:
    decision = rules.decide(principal, host)
    assert decision.allowed == (decision.reason == "allowed")
    assert decision.app == (rules.app_for(host) or "")
    return decision.reason


# what each rule means


@pytest.mark.parametrize("rule", ["*", ALICE.did, "alice.example.com", "*.example.com", "*.com", "@staff"])
def test_every_kind_of_rule_allows(rule: str) -> None:
    rules = policy(allow=(rule,), staff=(ALICE.did,))
    assert reason(rules, ALICE) == "allowed"


@pytest.mark.parametrize("rule", ["*", ALICE.did, "alice.example.com", "*.example.com", "*.com", "@staff"])
def test_every_kind_of_rule_denies_and_deny_wins(rule: str) -> None:
    rules = policy(
        allow=("*", ALICE.did, "alice.example.com", "*.example.com", "@staff"),
        deny=(rule,),
        staff=(ALICE.did,),
    )
    assert reason(rules, ALICE) == "denied"


@pytest.mark.parametrize("member", ["*", ALICE.did, "alice.example.com", "*.example.com"])
def test_a_group_holds_every_kind_of_rule_but_groups(member: str) -> None:
    assert reason(policy(allow=("@staff",), staff=(member,)), ALICE) == "allowed"
    assert reason(policy(allow=("*",), deny=("@staff",), staff=(member,)), ALICE) == "denied"


@pytest.mark.parametrize("rule", [BOB.did, "bob.test", "*.test", "@staff", "*.alice.example.com"])
def test_who_no_rule_names_is_refused(rule: str) -> None:
    assert reason(policy(allow=(rule,), staff=(BOB.did,)), ALICE) == "not_allowed"


def test_an_app_without_a_rule_lets_nobody_in() -> None:
    assert reason(policy(), ALICE) == "no_rule"
    assert reason(policy(deny=(BOB.did,)), ALICE) == "no_rule"
    assert reason(policy(deny=(ALICE.did,)), ALICE) == "no_rule"


def test_an_empty_group_lets_nobody_in() -> None:
    assert reason(policy(allow=("@staff",), staff=()), ALICE) == "not_allowed"


def test_a_wildcard_names_handles_under_the_domain_and_not_the_domain() -> None:
    rules = policy(allow=("*.example.com",))
    assert reason(rules, Principal(ALICE.did, "a.b.example.com")) == "allowed"
    assert reason(rules, Principal(ALICE.did, "example.com")) == "not_allowed"
    assert reason(rules, Principal(ALICE.did, "evilexample.com")) == "not_allowed"
    assert reason(rules, Principal(ALICE.did, "example.com.evil.test")) == "not_allowed"


def test_dids_are_compared_byte_for_byte() -> None:
    assert reason(policy(allow=(ALICE.did,)), Principal(ALICE.did.upper(), None)) == "not_allowed"
    assert reason(policy(allow=(ALICE.did,)), Principal(ALICE.did + "\n", None)) == "not_allowed"


@pytest.mark.parametrize(
    ("rule", "handle"),
    [
        ("Alice.Example.COM", "alice.example.com"),
        ("alice.example.com.", "alice.example.com"),
        ("alice.example.com", "ALICE.example.com"),
        ("alice.example.com", "alice.example.com."),
        ("*.EXAMPLE.com.", "alice.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example", "a.XN--bcher-kva.example"),
    ],
)
def test_handles_are_compared_canonically(rule: str, handle: str) -> None:
    assert reason(policy(allow=(rule,)), Principal(ALICE.did, handle)) == "allowed"
    assert reason(policy(allow=("*",), deny=(rule,)), Principal(ALICE.did, handle)) == "denied"


# without a verified handle

NO_HANDLE = [
    None,
    "",
    "handle.invalid",
    "HANDLE.invalid.",
    "not a handle",
    "a\n.example.com",
    "alice.example.com\n",
]


@pytest.mark.parametrize("handle", NO_HANDLE)
def test_without_a_verified_handle_no_handle_rule_allows(handle: str | None) -> None:
    who = Principal(ALICE.did, handle)
    assert (
        reason(policy(allow=("alice.example.com", "*.example.com", "*.invalid", "handle.invalid")), who)
        == "not_allowed"
    )
    assert reason(policy(allow=(ALICE.did,)), who) == "allowed"
    assert reason(policy(allow=("*",)), who) == "allowed"


@pytest.mark.parametrize("handle", NO_HANDLE)
@pytest.mark.parametrize("deny", ["bad.example", "*.example", "@bad"])
def test_where_a_deny_names_handles_a_verified_handle_is_required(handle: str | None, deny: str) -> None:
    rules = policy(allow=("*", ALICE.did), deny=(deny,), bad=("did:plc:x", "bad.example"))
    assert reason(rules, Principal(ALICE.did, handle)) == "handle_required"
    assert reason(rules, ALICE) == "allowed"


def test_where_a_deny_names_only_dids_no_handle_is_required() -> None:
    assert reason(policy(allow=("*",), deny=(BOB.did, "@bad"), bad=("did:plc:x",)), NAMELESS) == "allowed"


@pytest.mark.parametrize("handle", NO_HANDLE)
def test_require_handle_refuses_who_has_none(handle: str | None) -> None:
    rules = policy(allow=("*", ALICE.did), require_handle=True)
    assert reason(rules, Principal(ALICE.did, handle)) == "handle_required"
    assert reason(rules, ALICE) == "allowed"


def test_a_denied_did_is_told_so_whether_it_has_a_handle_or_not() -> None:
    assert (
        reason(policy(allow=("*",), deny=(NAMELESS.did, "bad.example"), require_handle=True), NAMELESS)
        == "denied"
    )
    assert reason(policy(allow=("*",), deny=("*", "bad.example")), NAMELESS) == "denied"


# hosts

APPS = {
    "main": App(hosts=("example.com", "www.example.com"), allow=("*",)),
    "wild": App(hosts=("*.example.com",), allow=(BOB.did,)),
    "port": App(hosts=("example.com:8443",), allow=(ALICE.did,)),
}


def test_the_host_picks_the_app() -> None:
    rules = Policy(APPS, {}, scheme="https")
    expected = {
        "example.com": "main",
        "www.example.com": "main",
        "x.example.com": "wild",
        "example.com:8443": "port",
    }
    assert {host: rules.app_for(host) for host in expected} == expected
    assert all(rules.knows(host) for host in expected)
    assert reason(rules, ALICE, "x.example.com") == "not_allowed"
    assert reason(rules, BOB, "x.example.com") == "allowed"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "", "example.com:9000", "x.example.com:8443", "com", "EXAMPLE.COM", "example.com."],
)
def test_an_unknown_host_is_refused_even_for_who_may_go_anywhere(host: str) -> None:
    rules = Policy(APPS, {}, scheme="https")
    assert rules.decide(ALICE, host) == Decision(allowed=False, app="", reason="unknown_host")
    assert rules.app_for(host) is None
    assert not rules.knows(host)


def test_the_schemes_own_port_is_the_host_without_a_port() -> None:
    apps = {"a": App(hosts=("example.com:80",), allow=("*",))}
    assert Policy(apps, {}, scheme="http").knows("example.com")
    assert not Policy(apps, {}, scheme="https").knows("example.com")


def test_a_decision_costs_no_allocation() -> None:
    rules = policy(allow=("*",))
    assert rules.decide(ALICE, HOST) is rules.decide(BOB, HOST)


# what can't be read


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.example", "A.example."), ("a.example", "a.example:443"), ("*.example", "*.EXAMPLE")],
)
def test_a_host_in_two_apps_is_an_error(one: str, other: str) -> None:
    with pytest.raises(ValueError, match="there twice"):
        Policy({"a": App(hosts=(one,)), "b": App(hosts=(other,))}, {}, scheme="https")


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "alice",
        "**",
        "*.",
        "*example.com",
        "a.*.com",
        "*.*.com",
        "alice@example.com",
        "alice.example.com:443",
        "*.example.com:443",
        "127.0.0.1",
        "*.127.0.0.1",
        "[::1]",
        "*.[::1]",
        "alice.4you",
        "https://alice.example.com",
        "did:",
        "did:plc",
        "did:plc:",
        "did:plc:x:",
        "did:plc:a b",
        "did:plc:x\n",
        "DID:plc:x",
        "@",
        "@nobody",
        "@alice.example.com",
    ],
)
def test_a_rule_that_cant_be_read_is_an_error_wherever_it_stands(rule: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        policy(allow=(rule,))
    with pytest.raises(ValueError, match=r"\w"):
        policy(allow=("*",), deny=(rule,))
    with pytest.raises(ValueError, match=r"\w"):
        policy(allow=("*",), unused=(rule,))


def test_groups_hold_no_groups() -> None:
    with pytest.raises(ValueError, match="groups can't hold groups"):
        policy(allow=("@all",), all=("@staff",), staff=(ALICE.did,))


def test_rules_named_twice_are_no_matter() -> None:
    rules = policy(allow=("A.example", "a.example", "a.example.", "@g", "@g"), g=("a.example",))
    assert reason(rules, Principal(ALICE.did, "a.example")) == "allowed"


# against a reference that reads the rules one by one

DIDS = ["did:plc:a", "did:plc:b", "did:web:c.example"]
HANDLES = ["a.example", "b.a.example", "c.test"]
RULES = st.lists(
    st.sampled_from([*DIDS, *HANDLES, "*", "*.example", "*.a.example", "@one", "@two"]), max_size=4
).map(tuple)
MEMBERS = st.lists(st.sampled_from([*DIDS, *HANDLES, "*.example", "*.test"]), max_size=3).map(tuple)
GROUPS = st.fixed_dictionaries({"one": MEMBERS, "two": MEMBERS})
PRINCIPALS = st.builds(Principal, st.sampled_from(DIDS), st.none() | st.sampled_from(HANDLES))


def flat(rules: Rules, groups: Groups) -> list[str]:
    return [each for rule in rules for each in (groups[rule[1:]] if rule.startswith("@") else (rule,))]


def names(rule: str, who: Principal) -> bool:
    if rule.startswith("*."):
        return who.handle is not None and who.handle.endswith(rule[1:])
    return rule in ("*", who.did, who.handle)


def reference(app: App, groups: Groups, who: Principal) -> str:
    deny = flat(app.deny, groups)
    if not app.allow:
        return "no_rule"
    if any(names(rule, who) for rule in deny):
        return "denied"
    denies_handles = any(rule != "*" and not rule.startswith("did:") for rule in deny)
    if who.handle is None and (app.require_handle or denies_handles):
        return "handle_required"
    return "allowed" if any(names(rule, who) for rule in flat(app.allow, groups)) else "not_allowed"


@given(RULES, RULES, st.booleans(), GROUPS, PRINCIPALS)
def test_the_compiled_policy_agrees_with_reading_the_rules_one_by_one(
    allow: Rules, deny: Rules, require: bool, groups: Groups, who: Principal
) -> None:
    app = App(hosts=(HOST,), allow=allow, deny=deny, require_handle=require)
    assert reason(Policy({"wiki": app}, groups, scheme="https"), who) == reference(app, groups, who)


@given(RULES, RULES, st.booleans(), GROUPS, PRINCIPALS, st.data())
def test_taking_an_allow_away_or_adding_a_deny_never_allows_more(
    allow: Rules,
    deny: Rules,
    require: bool,
    groups: Groups,
    who: Principal,
    data: st.DataObject,
) -> None:
    fewer = tuple(rule for rule in allow if data.draw(st.booleans(), label=f"keep {rule}"))
    more = deny + data.draw(RULES, label="more denied")
    before = build(groups, allow=allow, deny=deny, require_handle=require).decide(who, HOST)
    after = build(groups, allow=fewer, deny=more, require_handle=True).decide(who, HOST)
    assert before.allowed or not after.allowed


@given(RULES, GROUPS, PRINCIPALS, st.sampled_from(DIDS))
def test_a_denied_did_is_never_allowed(allow: Rules, groups: Groups, who: Principal, did: str) -> None:
    rules = build(groups, allow=allow, deny=(did,))
    assert not (who.did == did and rules.decide(who, HOST).allowed)


@given(RULES, GROUPS, PRINCIPALS, st.text(max_size=30))
def test_an_unknown_host_is_never_allowed(allow: Rules, groups: Groups, who: Principal, host: str) -> None:
    if host != HOST:
        assert reason(build(groups, allow=allow), who, host) == "unknown_host"


@given(st.text(max_size=40), st.none() | st.text(max_size=40))
def test_whatever_a_principals_names_are_only_a_rule_lets_it_in(did: str, handle: str | None) -> None:
    rules = policy(allow=("did:plc:a", "alice.example.com"), deny=("did:plc:b",))
    if rules.decide(Principal(did, handle), HOST).allowed:
        assert did == "did:plc:a" or (handle is not None and handle.lower() == "alice.example.com")
