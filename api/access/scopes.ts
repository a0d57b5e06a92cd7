/** What a caller may be allowed to do: every route behind a key needs exactly one of these. */
export const SCOPES = {
  'heartbeat:run': 'beat',
  'events:read': 'list and show events, and what patterns decided about them',
  'events:write': 'report events',
  'proposals:read': 'list and show proposals',
  'proposals:create': 'propose missions, and try templates at the gate',
  'proposals:approve': 'approve proposals',
  'proposals:reject': 'reject proposals',
  'missions:read': 'list and show missions',
  'missions:cancel': 'cancel missions',
  'steps:read': 'list and show steps',
  'steps:retry': 'retry dead steps',
  'steps:cancel': 'cancel steps',
  'policies:read': 'list and show policies and their history; validate and try candidates',
  'policies:write': 'change and roll back policies',
  'traces:read': 'trace anything, follow the timeline',
  'radar:read': 'list what is on the radar',
  'radar:write': 'put signals on the radar and change them',
  'alerts:read': 'list alerts',
  'alerts:write': 'acknowledge and silence alerts',
  'invariants:read': 'list checks and violations',
  'invariants:run': 'run checks',
  'observe:read': 'the whole of /health, /metrics, services, use of the caps, the hold of a restored copy',
  'hold:release': 'let a restored copy of the database go on with its work',
} as const

export type Scope = keyof typeof SCOPES

/** Everything. */
export const ALL_SCOPES = '*'

/**
 * Whether what was granted covers a scope. `*` stands for everything, or for one side: `proposals:*`, `*:read`.
 *
 * @example
 * covers(['proposals:*'], 'proposals:approve') // true
 */
export function covers(granted: readonly string[], scope: string): boolean {
  const [resource, action] = scope.split(':')
  return granted.some((grant) => {
    if (grant === ALL_SCOPES) return true
    const [some, what, ...rest] = grant.split(':')
    return rest.length === 0 && (some === '*' || some === resource) && (what === '*' || what === action)
  })
}

/** The words among these that stand for no scope at all. */
export function unknownScopes(granted: readonly string[]): string[] {
  return granted.filter((grant) => !Object.keys(SCOPES).some((scope) => covers([grant], scope)))
}
