import { describe, expect, it } from "vitest";
import { decideDelivery } from "../../domain/webhooks/delivery-decision.ts";
import { computeRetryDelay, MAX_ATTEMPTS } from "../../domain/webhooks/retry-schedule.ts";
import { computeRotation, listSigning } from "../../domain/webhooks/secrets.ts";
import { encodeSignature, encodeSignedText } from "../../domain/webhooks/signature.ts";
import { classifyHost, findTargetFault } from "../../domain/webhooks/target-rules.ts";

const HOUR = 3_600_000;

describe("the schedule of attempts", () => {
  it.each([0, 0.5, 1])("adds up to about a day, whatever chance says (%s)", (random) => {
    let total = 0;
    let attempts = 1;
    for (let delay = computeRetryDelay(attempts, random); delay !== null; delay = computeRetryDelay(attempts, random)) {
      expect(delay).toBeGreaterThan(0);
      // A queue holds nothing back for longer.
      expect(delay).toBeLessThanOrEqual(12 * HOUR);
      total += delay;
      attempts += 1;
    }
    expect(attempts).toBe(MAX_ATTEMPTS);
    expect(total).toBeGreaterThan(21 * HOUR);
    expect(total).toBeLessThan(27 * HOUR);
  });

  it("waits longer each time, and no two alike", () => {
    const delays = Array.from({ length: MAX_ATTEMPTS - 1 }, (_, index) => computeRetryDelay(index + 1, 0.5) as number);
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
    expect(delays[0]).toBe(5_000);
    expect(computeRetryDelay(1, 0)).toBe(4_500);
    expect(computeRetryDelay(1, 1)).toBe(5_500);
  });
});

describe("what becomes of a delivery", () => {
  it("is delivered, tried again, or given up after the last attempt", () => {
    expect(decideDelivery("stream.created", 1, null, 0.5)).toEqual({ status: "delivered" });
    expect(decideDelivery("stream.created", MAX_ATTEMPTS, null, 0.5)).toEqual({ status: "delivered" });
    expect(decideDelivery("stream.created", 1, "timeout", 0.5)).toEqual({ status: "pending", delayMs: 5_000 });
    expect(decideDelivery("stream.created", MAX_ATTEMPTS - 1, "http_status", 0.5)).toMatchObject({ status: "pending" });
    expect(decideDelivery("stream.created", MAX_ATTEMPTS, "http_status", 0.5)).toEqual({ status: "dead" });
  });

  it("a test is attempted once", () => {
    expect(decideDelivery("webhook.test", 1, "timeout", 0.5)).toEqual({ status: "dead" });
  });

  it.each(["webhook_disabled", "webhook_deleted", "interrupted"] as const)("%s ends it", (error) => {
    expect(decideDelivery("stream.created", 1, error, 0.5)).toEqual({ status: "dead" });
  });
});

describe("signatures", () => {
  it("are over the time and the body, and there may be two", () => {
    expect(encodeSignedText(1_714_672_800, '{"a":1}')).toBe('1714672800.{"a":1}');
    expect(encodeSignature(1_714_672_800, ["aa", "bb"])).toBe("t=1714672800,v1=aa,v1=bb");
  });

  it("the old secret signs along until its time is over, and is gone with the next change", () => {
    const first = { current: "one", previous: null };
    expect(listSigning(first, 0)).toEqual(["one"]);
    const second = computeRotation(first, "two", 1_000, 5_000);
    expect(listSigning(second, 5_999)).toEqual(["two", "one"]);
    expect(listSigning(second, 6_000)).toEqual(["two"]);
    expect(listSigning(computeRotation(second, "three", 1_000, 5_500), 5_600)).toEqual(["three", "two"]);
    expect(listSigning(computeRotation(first, "two", 0, 5_000), 5_000)).toEqual(["two"]);
  });
});

describe("hosts", () => {
  it.each([
    ["example.com", "name"],
    ["example.com.", "name"],
    ["xn--bcher-kva.example", "name"],
    ["local.example.com", "name"],
    ["mylocal.example", "name"],
    ["1.2.3.4.example.com", "name"],
    ["127.0.0.1", "address"],
    ["[::1]", "address"],
    ["localhost", "localhost"],
    ["localhost.", "localhost"],
    ["deep.localhost", "localhost"],
    ["intranet", "internal"],
    ["printer.local", "internal"],
    ["printer.local.", "internal"],
    ["metadata.google.internal", "internal"],
    ["router.lan", "internal"],
    ["nas.home.arpa", "internal"],
    ["a..b", "internal"],
    ["..", "internal"],
    ["", "internal"],
  ])("%s is of the kind %s", (host, kind) => {
    expect(classifyHost(host)).toBe(kind);
  });
});

describe("addresses, whatever their host", () => {
  const parts = { protocol: "https:", username: "", password: "", hostname: "example.com", port: "", hash: "" };

  it.each([{}, { port: "1024" }, { port: "8443" }, { port: "65535" }])("may be %o", (own) => {
    expect(findTargetFault({ ...parts, ...own }, false)).toBeNull();
  });

  it.each([
    { protocol: "http:" },
    { protocol: "ftp:" },
    { protocol: "javascript:" },
    { username: "user" },
    { password: "secret" },
    { hash: "#x" },
    { port: "0" },
    { port: "22" },
    { port: "25" },
    { port: "80" },
    { port: "1023" },
  ])("may not be %o", (own) => {
    expect(findTargetFault({ ...parts, ...own }, false)).not.toBeNull();
  });

  it("of this machine may be without TLS and at any port, where that is allowed", () => {
    expect(findTargetFault({ ...parts, protocol: "http:", port: "80" }, true)).toBeNull();
    expect(findTargetFault({ ...parts, protocol: "ftp:" }, true)).not.toBeNull();
    expect(findTargetFault({ ...parts, protocol: "http:", username: "user" }, true)).not.toBeNull();
    expect(findTargetFault({ ...parts, port: "0" }, true)).not.toBeNull();
  });
});
