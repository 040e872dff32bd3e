import { z } from "zod";

const TIMEOUT_MS = 3_000;
/** Record types and answer codes: rfc1035, rfc3596. */
const RECORDS = { A: 1, AAAA: 28 };
const NO_ERROR = 0;
const NO_SUCH_NAME = 3;

const Answer = z.object({
  Status: z.number(),
  Answer: z.array(z.object({ type: z.number(), data: z.string() })).optional(),
});

/** Addresses that a name stands for. Empty where there is no such name, or where it has none; null where the resolver could not say. */
export async function lookUpName(resolver: string, name: string): Promise<string[] | null> {
  try {
    const answers = await Promise.all([ask(resolver, name, "A"), ask(resolver, name, "AAAA")]);
    return answers.includes(null) ? null : (answers as string[][]).flat();
  } catch {
    return null;
  }
}

/** DNS over HTTPS, as JSON. The resolver follows aliases: what counts is the addresses at their end. */
async function ask(resolver: string, name: string, record: keyof typeof RECORDS): Promise<string[] | null> {
  const url = new URL(resolver);
  url.searchParams.set("name", name);
  url.searchParams.set("type", record);
  const answer = await fetch(url, {
    headers: { Accept: "application/dns-json" },
    redirect: "manual",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!answer.ok) {
    await answer.body?.cancel();
    return null;
  }
  const { Status, Answer: records = [] } = Answer.parse(await answer.json());
  if (Status === NO_SUCH_NAME) return [];
  return Status === NO_ERROR ? records.filter(({ type }) => type === RECORDS[record]).map(({ data }) => data) : null;
}
