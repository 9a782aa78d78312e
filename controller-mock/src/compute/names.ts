import { createHash } from "node:crypto";
import { formatPorts, policyLimits, protocolName, type Service } from "@antenna/sdk";
import { compareNames } from "@antenna/sdk/document";
import type { LabelRule, RuleEnd, ServiceChoice } from "../policy/model.js";
import { narrow, type Selector, selectorText } from "../policy/selector.js";

/**
 * Names that follow from the label policy alone, and from the content of what they name, never from its place: a rule that
 * comes or goes renames no other, so that workloads it does not concern keep their policies.
 */

/** Of the set of the workloads that a selector selects. */
export function selectionName(selector: Selector): string {
  return bounded(selectorText(selector), "");
}

/** Of the set of their addresses that only points of the same host can reach. */
export function localName(selector: Selector): string {
  return bounded(selectorText(selector), " (this host)");
}

export function ipListName(name: string): string {
  return bounded(`ipList=${name}`, "");
}

/** What a rule says, in a line; two rules of a ruleset with the same text mean the same. */
export function ruleText(ruleset: string, rule: LabelRule, scope: Selector): string {
  const services = rule.services === null ? "" : `, ${servicesText(rule.services)}`;
  const action = rule.action === "allow" ? (rule.secure ? "secure " : "") : `${rule.action} `;
  return `${plain(ruleset)}: ${action}${endText(rule.from, scope)} to ${endText(rule.to, scope)}${services}`;
}

export function ruleId(text: string, direction: "in" | "out"): string {
  return bounded(text, ` (${direction})`);
}

function endText(end: RuleEnd, scope: Selector): string {
  switch (end.kind) {
    case "anyone":
      return "anyone";
    case "ip-lists":
      return `ipList=${end.names.map(plain).join("|")}`;
    case "workloads":
      return selectorText(narrow(end.selector, scope));
  }
}

function servicesText({ names, inline }: ServiceChoice): string {
  const texts = [...names.map(plain), ...inline.map((service) => `{${serviceText(service)}}`)];
  return texts.sort(compareNames).join("+");
}

function serviceText({ protocol, ports, icmpType, icmpCode }: Service): string {
  const name = protocolName(protocol);
  if (ports !== null) return `${name} ${ports.map(formatPorts).join(" ")}`;
  if (icmpType === null) return name;
  return `${name} ${icmpType}${icmpCode === null ? "" : `.${icmpCode}`}`;
}

/** A name as it is where it cannot be taken for punctuation, else in quotes. */
function plain(name: string): string {
  return /^[\w./-]+$/.test(name) ? name : JSON.stringify(name);
}

const hashDigits = 16;

/** At most as long as the name of a set and the id of a rule may be; what is cut off still counts, by its hash. */
function bounded(text: string, suffix: string): string {
  const room = policyLimits.nameBytes - suffix.length;
  if (Buffer.byteLength(text, "utf8") <= room) return text + suffix;
  const hash = createHash("sha256").update(text).digest("hex").slice(0, hashDigits);
  let [head, bytes] = ["", 0];
  for (const character of text) {
    bytes += Buffer.byteLength(character, "utf8");
    if (bytes > room - hashDigits - 1) break;
    head += character;
  }
  return `${head}~${hash}${suffix}`;
}
