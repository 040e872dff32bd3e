import type { z } from "zod";

/** What is wrong with one field of the input; `field` is empty where it is the input as a whole. */
export interface InputFault {
  field: string;
  message: string;
}

type Issue = z.core.$ZodIssue;

/** A schema's complaints in words for whoever sent the input. */
export function describeFaults(issues: readonly Issue[]): InputFault[] {
  return issues.flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return [{ field: path, message: wordsOf(issue) }];
    return issue.keys.map((key) => ({ field: path === "" ? key : `${path}.${key}`, message: "there is no such field" }));
  });
}

function wordsOf(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return issue.message.endsWith("received undefined") ? "required" : `must be ${nameOf(issue.expected)}`;
    case "invalid_value":
      return issue.values.length === 1 ? `must be ${String(issue.values[0])}` : `one of: ${issue.values.map(String).join(", ")}`;
    case "too_big":
      return `at most ${amountOf(issue.origin, Number(issue.maximum))}`;
    case "too_small":
      return `at least ${amountOf(issue.origin, Number(issue.minimum))}`;
    case "invalid_union":
      return "none of the forms that it may have";
    default:
      return issue.message;
  }
}

function amountOf(origin: string, amount: number): string {
  if (origin === "string") return `${amount} ${amount === 1 ? "character" : "characters"}`;
  if (origin === "array" || origin === "set") return `${amount} ${amount === 1 ? "item" : "items"}`;
  return String(amount);
}

function nameOf(type: string): string {
  switch (type) {
    case "int":
      return "a whole number";
    case "array":
      return "a list";
    case "boolean":
      return "true or false";
    case "object":
    case "record":
      return "an object";
    default:
      return `a ${type}`;
  }
}
