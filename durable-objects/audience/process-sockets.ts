/** Open sockets of each object that lives, or has lived, in this isolate. A local runtime has room for so many in one process, and ends where they are more. */
const sockets = new Map<string, number>();
let total = 0;

/** An object has so many open sockets now. */
export function noteSockets(object: string, open: number): void {
  total += open - (sockets.get(object) ?? 0);
  if (open === 0) sockets.delete(object);
  else sockets.set(object, open);
}

/** Open sockets of all objects in this isolate. */
export function socketsInProcess(): number {
  return total;
}
