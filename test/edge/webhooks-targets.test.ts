import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isLoopbackAddress, isPublicAddress } from "../../workers/webhooks/public-address.ts";
import { findTargetRefusal, proveTarget } from "../../workers/webhooks/target.ts";
import { Internet } from "./webhooks-internet.ts";

const STRICT = { DNS_URL: "https://cloudflare-dns.com/dns-query", WEBHOOK_ALLOW_LOOPBACK: "false" };
const LOCAL = { ...STRICT, WEBHOOK_ALLOW_LOOPBACK: "true" };

let internet: Internet;
beforeEach(() => {
  internet = new Internet();
});
afterEach(() => internet.restore());

/** Spellings of places that nobody outside may reach. */
const HOSTILE = [
  "https://127.0.0.1/",
  "https://127.1/",
  "https://127.255.255.254/",
  "https://2130706433/",
  "https://0x7f000001/",
  "https://0x7f.0.0.1/",
  "https://0177.0.0.1/",
  "https://017700000001/",
  "https://127.0.0.1./",
  "https://１２７.０.０.１/",
  "https://①②⑦.0.0.1/",
  "https://127。0。0。1/",
  "https://%31%32%37.0.0.1/",
  "https://0/",
  "https://0.0.0.0/",
  "https://0x/",
  "https://10.0.0.1/",
  "https://10.255.255.255/",
  "https://172.16.0.1/",
  "https://172.31.255.255/",
  "https://192.168.1.1/",
  "https://3232235777/",
  "https://100.64.0.1/",
  "https://169.254.169.254/latest/meta-data/",
  "https://0xa9fea9fe/",
  "https://2852039166/",
  "https://0251.0376.0251.0376/",
  "https://192.0.0.192/",
  "https://192.0.2.1/",
  "https://198.18.0.1/",
  "https://203.0.113.1/",
  "https://224.0.0.1/",
  "https://240.0.0.1/",
  "https://255.255.255.255/",
  "https://[::1]/",
  "https://[::]/",
  "https://[0:0:0:0:0:0:0:1]/",
  "https://[::ffff:127.0.0.1]/",
  "https://[::ffff:a9fe:a9fe]/",
  "https://[::ffff:8.8.8.8]/",
  "https://[::127.0.0.1]/",
  "https://[::ffff:0:127.0.0.1]/",
  "https://[64:ff9b::7f00:1]/",
  "https://[64:ff9b:1::a00:1]/",
  "https://[2002:7f00:1::]/",
  "https://[2002:a9fe:a9fe::1]/",
  "https://[2001:0:a00:1::1]/",
  "https://[fe80::1]/",
  "https://[fec0::1]/",
  "https://[fc00::1]/",
  "https://[fd00:ec2::254]/",
  "https://[ff02::1]/",
  "https://[100::1]/",
  "https://[2001:db8::1]/",
  "https://[5f00::1]/",
  "https://[4000::1]/",
  "https://localhost/",
  "https://LOCALHOST/",
  "https://localhost./",
  "https://a.localhost/",
  "https://ｌocalhost/",
  "https://printer.local/",
  "https://metadata.google.internal/",
  "https://router.lan/",
  "https://intranet/",
];

describe("where deliveries may not go", () => {
  it.each(HOSTILE)("%s, and nobody is asked", async (url) => {
    expect(await findTargetRefusal(STRICT, url)).toMatchObject({ error: "address_not_public" });
    expect(internet.lookups).toBe(0);
  });

  it.each([
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://user@hooks.example.com/",
    "https://user:secret@hooks.example.com/",
    "https://127.0.0.1@hooks.example.com/",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:0/",
    "https://hooks.example.com/#here",
    "https://[fe80::1%25eth0]/",
    "https://256.1.1.1/",
    "//hooks.example.com/",
    "not a url",
    "",
  ])("%s, which is no address of the web", async (url) => {
    expect(await findTargetRefusal(STRICT, url)).toMatchObject({ error: "url_not_allowed" });
    expect(internet.lookups).toBe(0);
  });

  it.each([
    [["10.0.0.1"]],
    [["93.184.215.14", "127.0.0.1"]],
    [["93.184.215.14", "::1"]],
    [["93.184.215.14", "fd00::1"]],
    [["169.254.169.254"]],
    [["2606:2800::1", "::ffff:10.0.0.1"]],
    [["64:ff9b::a00:1"]],
    [["no address at all"]],
  ])("names that lead to %j", async (addresses) => {
    internet.names["trap.example.com"] = addresses;
    expect(await findTargetRefusal(STRICT, "https://trap.example.com/")).toMatchObject({ error: "address_not_public" });
    expect(await findTargetRefusal(LOCAL, "https://trap.example.com/")).toMatchObject({ error: "address_not_public" });
  });
});

describe("where deliveries may go", () => {
  it.each([
    "https://hooks.example.com/",
    "https://hooks.example.com:8443/path?token=1",
    "https://HOOKS.example.com/",
    "https://93.184.215.14/",
    "https://[2606:2800:21f:cb07::1]:8443/",
  ])("%s", async (url) => {
    expect(await findTargetRefusal(STRICT, url)).toBeNull();
  });

  it("a name that does not resolve, and a resolver that is away, are told apart", async () => {
    expect(await findTargetRefusal(STRICT, "https://nobody.example.com/")).toMatchObject({ error: "name_not_found" });
    internet.names["empty.example.com"] = [];
    expect(await findTargetRefusal(STRICT, "https://empty.example.com/")).toMatchObject({ error: "name_not_found" });
    internet.names["broken.example.com"] = 2;
    expect(await findTargetRefusal(STRICT, "https://broken.example.com/")).toMatchObject({ error: "lookup_failed" });
    internet.isResolverUp = false;
    expect(await findTargetRefusal(STRICT, "https://hooks.example.com/")).toMatchObject({ error: "lookup_failed" });
    expect(await proveTarget(STRICT, "https://hooks.example.com/")).toBe("https://hooks.example.com/");
  });

  it("is kept as the one spelling of it", async () => {
    expect(await proveTarget(STRICT, " https://HOOKS.example.com:443/a/../b ")).toBe("https://hooks.example.com/b");
    await expect(proveTarget(STRICT, "https://10.0.0.1/")).rejects.toMatchObject({ status: 400, code: "url_not_allowed" });
  });
});

describe("a local run", () => {
  it.each(["http://127.0.0.1:8080/", "http://localhost:80/", "https://a.localhost/", "http://[::1]:9/", "http://127.8.9.1/"])(
    "may reach %s",
    async (url) => {
      expect(await findTargetRefusal(LOCAL, url)).toBeNull();
      expect(internet.lookups).toBe(0);
    },
  );

  it.each([
    "http://10.0.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/",
    "https://0.0.0.0/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://printer.local/",
    "http://hooks.example.com/",
    "http://user@127.0.0.1/",
  ])("may not reach %s", async (url) => {
    expect(await findTargetRefusal(LOCAL, url)).not.toBeNull();
  });
});

describe("addresses", () => {
  it("that nobody writes are not public", () => {
    for (const text of ["", "127.1", "8.8", "0x8.8.8.8", "8.8.8.8.", "2606:2800::1%eth0", "example.com"])
      expect(isPublicAddress(text)).toBe(false);
    for (const text of ["8.8.8.8", "1.0.0.1", "2606:4700:4700::1111"]) expect(isPublicAddress(text)).toBe(true);
    expect(isLoopbackAddress("::ffff:127.0.0.1")).toBe(false);
  });
});
