import { answerParent } from "./client-process.ts";
import { HttpConnection, type HttpRequest } from "./http-connection.ts";
import { monotonicMs } from "./monotonic.ts";

/** What is to be asked, over and over. */
export interface ApiLoad {
  site: string;
  /** Each connection sends its own share of them in turn, one at a time: as many as there are connections, or a multiple. */
  requests: HttpRequest[];
  connections: number;
  warmUpMs: number;
  measureMs: number;
  /** The one status that is right. */
  status: number;
}

/** How the server did. */
export interface ApiLoadAnswer {
  /** From a request's going out to its answer's last byte, s. */
  delays: number[];
  seconds: number;
  bytes: number;
}

answerParent(async ({ site, requests, connections, warmUpMs, measureMs, status }: ApiLoad): Promise<ApiLoadAnswer> => {
  const delays: number[] = [];
  let bytes = 0;
  const from = monotonicMs() + warmUpMs;
  const until = from + measureMs;
  const ask = async (first: number) => {
    const connection = new HttpConnection(site);
    try {
      for (let at = first; ; at += connections) {
        const sentAt = monotonicMs();
        if (sentAt >= until) return;
        const reply = await connection.send(requests[at % requests.length] as HttpRequest);
        if (reply.status !== status) throw new Error(`an answer was ${reply.status}: ${reply.body.toString().slice(0, 300)}`);
        if (sentAt < from || reply.at > until) continue;
        delays.push((reply.at - sentAt) / 1000);
        bytes += reply.body.length;
      }
    } finally {
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, first) => ask(first)));
  return { delays, seconds: measureMs / 1000, bytes };
});
