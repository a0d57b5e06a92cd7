/** Which of our SQL functions the bytes of a client call. */

/** Takes the pieces that a client sends, in order; answers the functions that this piece calls. */
export type CallReader = (data: Buffer) => string[]

const FUNCTION = /\bops_[a-z_]+/g

/** HTTP: `POST /rest/v1/rpc/<function>`. */
export function httpCalls(): CallReader {
  return (data) => [...data.toString('latin1').matchAll(/\/rpc\/(ops_[a-z_]+)/g)].map(([, fn = '']) => fn)
}

/**
 * Postgres: messages of a type byte and a length, after a first one without type. A call is parsed once for each connection
 * (`P`, with the statement's name and text), and bound (`B`) each time.
 */
export function postgresCalls(): CallReader {
  let rest = Buffer.alloc(0)
  let begun = false
  const statements = new Map<string, string[]>()

  function read(type: string, body: Buffer): string[] {
    if (type === 'Q') return functionsIn(body)
    if (type === 'P') {
      const [name, text] = [cString(body, 0), body.subarray(body.indexOf(0) + 1)]
      statements.set(name, functionsIn(text))
    }
    if (type !== 'B') return []
    return statements.get(cString(body, body.indexOf(0) + 1)) ?? []
  }

  return (data) => {
    rest = Buffer.concat([rest, data])
    const called: string[] = []
    for (;;) {
      const header = begun ? 1 : 0
      if (rest.length < header + 4) return called
      const length = header + rest.readInt32BE(header)
      if (rest.length < length) return called
      if (begun) called.push(...read(String.fromCharCode(rest[0] ?? 0), rest.subarray(5, length)))
      begun = true
      rest = rest.subarray(length)
    }
  }
}

function functionsIn(text: Buffer): string[] {
  return text.toString('latin1').match(FUNCTION) ?? []
}

function cString(data: Buffer, from: number): string {
  return data.toString('latin1', from, data.indexOf(0, from))
}
