/** The engine's own canary: the one pattern that no reaction matrix holds, and no operator's pattern answers. */
import { compileMatrix } from './matcher/compile.js'
import { CANARY, CANARY_PATTERN } from './schemas/reaction_matrix.js'

const PING = 'canary:ping'

/** What the database knows the canary by: `ops.canary_template()`. */
export const canaryMatrix = compileMatrix(
  {
    patterns: [
      {
        id: CANARY_PATTERN,
        event_type: PING,
        proposal_source: CANARY,
        template: {
          title: 'Synthetic canary',
          risk_level: 'low',
          steps: [{ kind: 'noop:canary', max_retries: 1, timeout_seconds: 60 }],
        },
      },
    ],
  },
  { version: 0 },
)

/** Whether an event was sent, or caused, by a canary: the engine alone makes such events. */
export function isCanaryEvent({ type, data }: { type: string; data: Readonly<Record<string, unknown>> }) {
  return type === PING || (/^(mission|step|proposal):/.test(type) && data.source === CANARY)
}
