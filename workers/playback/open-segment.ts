import { NovaError } from "../../domain/errors.ts";
import type { Fill } from "./fill-cache.ts";

/**
 * A segment as its parts come, one after the other: exactly the bytes that it will have when it is whole. Rejects where its first part does
 * not come; later ones that fail break the stream off, so that nobody takes half a segment for a whole one.
 */
export async function streamParts(nextPart: (number: number) => Promise<{ fill: Fill }>): Promise<ReadableStream<Uint8Array>> {
  const first = await nextPart(0);
  let number = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (number === 0) controller.enqueue(first.fill.body);
      else {
        const part = await nextPart(number).catch((error: unknown) => {
          // After the last part there is none: the segment is whole.
          if (error instanceof NovaError && error.status === 404) return null;
          throw error;
        });
        if (part === null) return controller.close();
        controller.enqueue(part.fill.body);
      }
      number += 1;
    },
  });
}
