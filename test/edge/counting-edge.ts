import worker, { AudienceShard, Media, LiveStream as Observed } from "../../workers/index.ts";
import type { Wakes } from "../fakes/wakes.ts";

/** The Worker as it is deployed, with counters of what happens to its streams' objects: `GET /wakes`. */

const wakes: Wakes = { lives: 0, alarms: 0, messages: 0 };

export class LiveStream extends Observed {
  constructor(...args: ConstructorParameters<typeof Observed>) {
    super(...args);
    wakes.lives += 1;
  }

  override alarm(): Promise<void> {
    wakes.alarms += 1;
    return super.alarm();
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    wakes.messages += 1;
    super.webSocketMessage(socket, message);
  }
}

export { AudienceShard, Media };

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/wakes") return Response.json(wakes);
    return worker.fetch(request, env, ctx);
  },
  queue: worker.queue,
} satisfies ExportedHandler<Env>;
