/** The viewer's right to a signed stream, handed over in the fragment of a watch link, `#token=…`, which no server and no log sees. */
const FRAGMENT = /^#token=([A-Za-z0-9._-]{1,4096})$/;

/**
 * The token of this page: from its address, which is cleaned of it, or as kept since then; null where there is none. It lives as long as
 * the tab.
 */
export function claimToken(id: string, page: Window): string | null {
  const key = `nova-token:${id}`;
  const token = FRAGMENT.exec(page.location.hash)?.[1] ?? null;
  if (token === null) return attempt(() => page.sessionStorage.getItem(key));
  attempt(() => page.sessionStorage.setItem(key, token));
  page.history.replaceState(page.history.state, "", page.location.pathname + page.location.search);
  return token;
}

/** A link with a new token, opened where the page already is, changes the fragment alone: the page begins again with it. */
export function followNewToken(page: Window): void {
  page.addEventListener("hashchange", () => {
    if (FRAGMENT.test(page.location.hash)) page.location.reload();
  });
}

/** The address of a stream's multivariant playlist. */
export function playlistUrl(id: string, token: string | null): string {
  return `${token === null ? "" : `/t/${token}`}/hls/${id}/index.m3u8`;
}

/** Storage may be full or forbidden: the token then lives as long as the page. */
function attempt<Result>(action: () => Result): Result | null {
  try {
    return action();
  } catch {
    return null;
  }
}
