import { z } from 'zod'
import { agentName, eventGlob, keyText, patternId, sourceName } from './fields.js'
import { templateSchema } from './template.js'

const eventTypes = () =>
  z.union([eventGlob(), z.array(eventGlob()).min(1).max(50)], {
    error:
      'must be an event type such as "github:issues.opened", with "*" for any characters, or a list of them',
  })

const minutes = () => z.number().min(0).max(525_600)

const threshold = z.strictObject({
  count: z.int().min(1).max(10_000).describe('How many matches it takes.'),
  within_minutes: z.number().gt(0).max(10_080).describe('The minutes within which they must come.'),
  key: keyText()
    .optional()
    .describe('Counts matches apart by this text, with placeholders. Absent: all together.'),
})

const input = z
  .strictObject({
    id: patternId()
      .optional()
      .describe('What reactions, caps and traces call the pattern. Default: its name.'),
    name: z.string().min(1).max(100).optional().describe('What people call it. Default: its id.'),
    description: z.string().max(2000).optional().describe('What the pattern is for.'),
    enabled: z.boolean().default(true).describe('Off: the pattern answers nothing.'),
    mode: z
      .enum(['active', 'shadow'])
      .default('active')
      .describe('"shadow" records what the pattern would have done and does nothing.'),
    event_type: eventTypes()
      .optional()
      .describe(
        'The events it answers: types, with "*" for any run of characters. heartbeat:* events are never answered.',
      ),
    type: eventTypes().optional().describe('Another name for event_type.'),
    tags: z
      .array(z.string().min(1).max(200))
      .min(1)
      .max(100)
      .optional()
      .describe('Answers only events with at least one of these tags in event.data.tags.'),
    source: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe('Answers only events whose event.data.source is this.'),
    when: z
      .string()
      .min(1)
      .max(2000)
      .optional()
      .describe(
        'Answers only events for which this CEL expression is true: "event.data.issue.comments > 3". It sees event.id, type, data, depth and created_at.',
      ),
    probability: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe('The share of events it answers, 0 to 1; the same event always falls the same way.'),
    cooldown_minutes: minutes().optional().describe('Minutes of silence after it has answered an event.'),
    cooldown: minutes().optional().describe('Another name for cooldown_minutes.'),
    cooldown_key: keyText()
      .optional()
      .describe(
        'Keeps a cooldown for each value of this text, with placeholders. Absent: one for the pattern.',
      ),
    threshold: threshold.optional().describe('Answers only when matches come in numbers.'),
    dedupe_key: keyText()
      .optional()
      .describe(
        'No second proposal while one with this text, with placeholders, is alive. Patterns and API callers share these keys: begin it with a word of your own.',
      ),
    proposal_source: sourceName()
      .default('reaction')
      .describe('The source of its proposals, which caps count by. Events have no say in it.'),
    target: agentName().optional().describe('The agent that answers: another name for template.agent.'),
    template: templateSchema.describe('The proposal it makes.'),
  })
  .meta({
    allOf: [
      { anyOf: [{ required: ['id'] }, { required: ['name'] }] },
      { anyOf: [{ required: ['event_type'] }, { required: ['type'] }] },
    ],
  })

type Input = z.output<typeof input>

/** The source of the engine's own canary, which the gate takes from nobody else, and the id of its pattern. */
export const CANARY = 'canary'
export const CANARY_PATTERN = 'ops:canary'

/** One rule of the reaction matrix, with its aliases resolved. */
export const patternSchema = input
  .superRefine((pattern, context) => {
    const complain = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message })
    if (pattern.id === undefined && pattern.name === undefined) complain(['id'], 'is required, or a name')
    if (pattern.event_type === undefined && pattern.type === undefined)
      complain(['event_type'], 'is required')
    for (const [alias, field] of [
      ['type', 'event_type'],
      ['cooldown', 'cooldown_minutes'],
    ] as const) {
      if (pattern[alias] !== undefined && pattern[field] !== undefined) {
        complain([alias], `is another name for ${field}; give one of them`)
      }
    }
    if (pattern.target !== undefined && (pattern.template.agent ?? pattern.target) !== pattern.target) {
      complain(['target'], 'is another name for template.agent, which says something else')
    }
    if (pattern.proposal_source === CANARY && pattern.id !== CANARY_PATTERN) {
      complain(['proposal_source'], `"${CANARY}" belongs to the engine’s own canary`)
    }
    if (typesOf(pattern).some((type) => type.startsWith('heartbeat:'))) {
      complain(['event_type'], 'heartbeat:* events are never answered')
    }
  })
  .transform(({ type, cooldown, target, event_type, ...pattern }) => ({
    ...pattern,
    id: pattern.id ?? pattern.name ?? '',
    name: pattern.name ?? pattern.id ?? '',
    event_types: typesOf({ type, event_type }),
    cooldown_minutes: pattern.cooldown_minutes ?? cooldown ?? 0,
    template: target === undefined ? pattern.template : { ...pattern.template, agent: target },
  }))

function typesOf({ event_type, type }: Pick<Input, 'event_type' | 'type'>): string[] {
  return [...new Set([event_type ?? type ?? []].flat())]
}

export type Pattern = z.output<typeof patternSchema>

/** More than anybody writes, and as much as a beat can compile. */
export const MOST_PATTERNS = 5000

export const reactionMatrixSchema = z
  .strictObject({
    patterns: z
      .array(patternSchema)
      .max(MOST_PATTERNS)
      .default([])
      .describe('The rules; each answers events on its own.'),
    salt: z
      .string()
      .max(100)
      .default('')
      .describe('Enters the hash behind probability; another salt draws another sample of the same share.'),
  })
  .describe('Which events the loop answers, and with which proposals.')
