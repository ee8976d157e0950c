"use strict";

const by = (id) => document.getElementById(id);

/** An element with text or other elements in it. Text is never read as HTML. */
function element(name, ...parts) {
  const made = document.createElement(name);
  made.append(...parts);
  return made;
}

/** Asks the admin API; an error says why there is no answer. */
async function ask(path, body) {
  const headers = { Authorization: "Bearer " + sessionStorage.getItem("token") };
  const request = { headers };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(request, { method: "POST", body });
  }
  const response = await fetch(path, request);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error || "status " + response.status);
  return answer;
}

function show(error) {
  by("message").textContent = error ? error.message : "";
}

/** A policy's text, folded away under its id. */
function policy(listed) {
  const of = listed.template === undefined ? "" : " (link of " + listed.template + ")";
  const details = element("details", element("summary", listed.id + of));
  details.append(element("pre", listed.text));
  return details;
}

const STATE = [
  ["tier", "Evaluation", String],
  ["policies", "Policies", String],
  ["entities", "Entities", String],
  ["schema", "Schema", (is) => (is ? "yes" : "none")],
  ["generation", "Loaded", (n) => n + (n === 1 ? " time" : " times")],
  ["loaded_at", "Last loaded", (seconds) => new Date(seconds * 1000).toISOString()],
  ["memory_bytes", "Engine memory", (bytes) => (bytes / 1024).toFixed(0) + " KiB"],
  ["changes", "Changes are kept in", (path) => path || "none can be made"],
  ["checked", "Checked decisions", (checked) => checked === null ? "none" :
    checked.decisions + ", of which wrong: " + checked.differences],
  ["reload_error", "Newest files", (why) => why || "in use"],
  ["credentials_error", "Newest certificate and tokens", (why) => why || "in use"],
];

async function refresh() {
  const [state, policies] = await Promise.all([ask("/admin/v1/state"), ask("/admin/v1/policies")]);
  by("state").replaceChildren(...STATE.flatMap(([key, label, text]) =>
    [element("dt", label), element("dd", text(state[key]))]));
  by("policies").replaceChildren(...policies.policies.map((listed) => {
    const hits = element("td", String(listed.hits));
    hits.className = "number";
    const id = element("th", policy(listed));
    id.scope = "row";
    return element("tr", id, element("td", listed.effect), hits);
  }));
  by("omitted").textContent = policies.omitted === 0 ? "" : policies.omitted + " more are not listed.";
  by("content").hidden = false;
}

/** What came of a policy, in words. */
function outcome(listed) {
  const words = {
    satisfied: "satisfied",
    other_principal: "not satisfied: it is about other principals",
    other_action: "not satisfied: it is about other actions",
    other_resource: "not satisfied: it is about other resources",
    unmet: "not satisfied: clause " + listed.clause + " does not hold",
    failed: "failed: " + listed.error,
  };
  return words[listed.outcome] || listed.outcome;
}

function answer(explained) {
  const decision = element("p", explained.decision === "allow" ? "Allowed" : "Denied");
  decision.className = "decision " + explained.decision;
  const because = explained.reasons.length === 0
    ? "No policy is satisfied."
    : "Because of " + explained.reasons.join(", ") + ".";
  const parts = [decision, element("p", because)];
  for (const { policy, error } of explained.errors) {
    parts.push(element("p", "Policy " + policy + " failed and does not count: " + error));
  }
  const rows = explained.policies.map((listed) => {
    const id = element("th", policy(listed));
    id.scope = "row";
    const visited = listed.candidate ? "evaluated" : "left out by the index";
    return element("tr", id, element("td", listed.effect), element("td", visited), element("td", outcome(listed)));
  });
  const heads = ["Policy", "Effect", "Index", "Outcome"].map((text) => {
    const head = element("th", text);
    head.scope = "col";
    return head;
  });
  const caption = element("caption", "Why each policy is satisfied or not" +
    (explained.omitted === 0 ? "" : ", but for " + explained.omitted + " more"));
  parts.push(element("table", caption, element("thead", element("tr", ...heads)), element("tbody", ...rows)));
  return parts;
}

async function attempt(work) {
  try {
    show(null);
    await work();
  } catch (error) {
    show(error);
  }
}

by("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", by("token").value);
  by("token").value = "";
  attempt(refresh);
});

by("try").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    by("answer").replaceChildren();
    const call = { context: JSON.parse(by("context").value || "{}") };
    for (const part of ["principal", "action", "resource"]) call[part] = by(part).value;
    by("answer").replaceChildren(...answer(await ask("/admin/v1/explain", JSON.stringify(call))));
  });
});

if (sessionStorage.getItem("token") !== null) attempt(refresh);
