// Words for what went wrong with the connection.

const codes = {
  1002: "The server heard nothing from this page for too long.",
  1009: "The server takes no message that long.",
  1012: "The server restarts.",
  1013: "This page was too slow to read what came.",
}

// explain says why a socket is lost. A browser tells a page nothing of a refused
// websocket, so ask is a URL that answers an ordinary request as the handshake
// would be answered: 400 then means that only the upgrade was missing.
export async function explain({why: kind, code}, ask) {
  if (navigator.onLine === false) return {text: "You are offline."}
  switch (kind) {
    case "closed": return {text: codes[code] ?? "The connection was lost."}
    case "silent": return {text: "The server no longer answers."}
    case "garbage": return {text: "What answers here does not speak Phoenix Channels. Is the address right?"}
  }
  let status
  try {
    ({status} = await fetch(ask, {cache: "no-store", signal: AbortSignal.timeout(5000)}))
  } catch {
    return {text: "The server cannot be reached."}
  }
  switch (status) {
    case 400: return {text: "The server answers, but the connection does not come about: it refuses this page's address, or a proxy lets no websocket through."}
    case 401: case 403: return {text: "The server refuses you under this name.", refused: true}
    case 404: return {text: "There is no chat at this address."}
    case 429: return {text: "The server has too many visitors right now."}
    case 503: return {text: "The server starts or stops right now."}
  }
  return {text: `The server answers with an error (${status}).`}
}
