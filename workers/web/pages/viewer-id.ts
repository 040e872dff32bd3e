import { makeViewerId } from "../client/stream-socket.ts";

const KEY = "nova-viewer";

/**
 * The viewer id of this page: the same after a reload, another in every other tab. It lies in sessionStorage only while
 * the page is away; a tab that is duplicated, which copies the storage, thus finds none and is a viewer of its own.
 */
export function claimViewerId(storage: Storage, page: Window): string {
  const id = takeStored(storage) ?? makeViewerId();
  page.addEventListener("pagehide", () => {
    try {
      storage.setItem(KEY, id);
    } catch {
      // Storage is full or forbidden: the next load counts as a new viewer.
    }
  });
  page.addEventListener("pageshow", () => takeStored(storage));
  return id;
}

/** An id for a page that gives up its old one to another place. */
export const renewViewerId = makeViewerId;

function takeStored(storage: Storage): string | null {
  try {
    const id = storage.getItem(KEY);
    storage.removeItem(KEY);
    return id;
  } catch {
    return null;
  }
}
