import { Command } from 'commander'
import { type Engine, type GateVerdict, type JsonObject, OpsError } from '../../../engine/index.js'
import { type Explanation, explainEvent, type MatchableEvent } from '../../../policies/index.js'
import { eventPages, wholeId } from '../../ids.js'
import { withEngine } from '../../session.js'
import { fields, plain, short, table } from '../../text.js'
import { isObject, jsonOf, readPolicies } from './files.js'

const EXAMPLES = `
The event is a file {"type": …, "data": …}, a file of data with --type, or the id of a recorded event (or at least four
characters of its beginning or end). Policy files stand in place of the policies in force.

Cooldown, threshold and dedupe depend on what went before: a match names the keys they go by. For a recorded event it also
says what was decided then; policy simulate tells the rest.

Examples:
  ops-loop policy test event.json
  ops-loop policy test payload.json --type github:issues.opened reaction_matrix.json
  ops-loop policy test 3f2a91 reaction_matrix.json`

/** What one pattern makes of the event. */
type Told = Explanation & {
  /** What the gate would say to the proposal now. */
  gate?: GateVerdict
  /** What was decided about the recorded event. */
  recorded?: string
}

export function testCommand(): Command {
  return new Command('test')
    .description('what an event would do, and why, pattern by pattern')
    .argument('<event>', 'a JSON file, or the id of a recorded event')
    .argument('[files...]', 'policies to try in place of those in force')
    .option('--type <type>', 'the type of the event whose data the file holds')
    .addHelpText('after', EXAMPLES)
    .action(async (source: string, names: string[], { type }: { type?: string }, command: Command) => {
      const files = await readPolicies(names)
      await withEngine(command, async (engine, answer) => {
        const { event, recorded } = await findEvent(engine, source, type)
        const policies = {
          ...Object.fromEntries((await engine.policies()).map(({ key, value }) => [key, value])),
          ...Object.fromEntries(files.map(({ key, value }) => [key, value])),
        }
        if (policies.reaction_matrix === undefined) {
          throw new OpsError('OPS_002', 'There is no policy "reaction_matrix" in force.', {
            hint: 'Give a file, or run npm run migrate -- --seed.',
          })
        }
        const { patterns, quarantined } = explainEvent(policies.reaction_matrix, event, { policies })
        const decisions = recorded ? await engine.why(event.event_id) : []
        const told: Told[] = []
        for (const pattern of patterns) {
          const decided = decisions.find(({ pattern_id }) => pattern_id === pattern.pattern_id)?.decision
          told.push({
            ...pattern,
            ...(recorded && { recorded: decided ?? 'not decided' }),
            ...(pattern.decision === 'matched' &&
              pattern.mode === 'active' && { gate: await engine.gateProposal(pattern.template) }),
          })
        }
        answer(
          {
            event: { id: event.event_id, type: event.type, depth: event.depth },
            patterns: told,
            quarantined,
          },
          () => describe(told, recorded),
        )
      })
    })
}

const LIKE_AN_ID = /^[0-9a-f-]{4,36}$/i

async function findEvent(
  engine: Engine,
  source: string,
  type: string | undefined,
): Promise<{ event: MatchableEvent; recorded: boolean }> {
  if (type === undefined && LIKE_AN_ID.test(source)) {
    const id = await wholeId(source.toLowerCase(), 'event', eventPages(engine))
    const [event] = await engine.listEvents({ id }, 1)
    if (event === undefined) throw new OpsError('OPS_013', `There is no event ${id}.`)
    return {
      event: {
        event_id: id,
        type: event.type,
        data: event.data,
        depth: event.depth,
        created_at: event.created_at,
      },
      recorded: true,
    }
  }
  return { event: eventOf(await jsonOf(source), source, type), recorded: false }
}

function eventOf(value: unknown, path: string, type: string | undefined): MatchableEvent {
  if (!isObject(value)) throw notAnEvent(path, 'is not a JSON object')
  const given = type === undefined ? value : { type, data: value }
  if (typeof given.type !== 'string') {
    throw notAnEvent(path, 'has no "type"; if it holds data alone, give --type')
  }
  const data: unknown = given.data ?? {}
  if (!isObject(data)) throw notAnEvent(path, 'has "data" that is not an object')
  return {
    event_id:
      type === undefined && typeof value.id === 'string' ? value.id : '00000000-0000-4000-8000-000000000000',
    type: given.type,
    data,
    depth: type === undefined && typeof value.depth === 'number' ? Math.max(0, Math.floor(value.depth)) : 0,
    created_at: timeOf(type === undefined ? value.created_at : undefined, path),
  }
}

function timeOf(value: unknown, path: string): string {
  if (value === undefined) return new Date().toISOString()
  if (typeof value === 'string' && !Number.isNaN(Date.parse(value))) return value
  throw notAnEvent(path, 'has a "created_at" that is no time such as "2026-01-31T09:00:00Z"')
}

const notAnEvent = (path: string, problem: string): OpsError =>
  new OpsError('OPS_011', `${path} ${problem}.`, {
    hint: 'An event is {"type": "deploy:finished", "data": {…}}.',
  })

function describe(patterns: readonly Told[], recorded: boolean): string {
  const headings = ['pattern', 'mode', 'decision', ...(recorded ? ['then'] : []), 'because']
  const rows = patterns.map((told) => [
    told.pattern_id,
    told.mode,
    told.decision,
    ...(recorded ? [told.recorded ?? ''] : []),
    because(told),
  ])
  return [table(headings, rows), ...patterns.flatMap(describeMatch)].join('\n')
}

function because(told: Told): string {
  if (told.decision === 'matched' || told.decision === 'disabled') return ''
  return short(
    Object.entries(told.detail)
      .map(([name, value]) => `${name}=${plain(value)}`)
      .join(' '),
    110,
  )
}

function describeMatch(told: Told): string[] {
  if (told.decision !== 'matched') return []
  const { cooldown, threshold, dedupe_key, proposal_source, template, gate } = told
  const steps = template.steps.map(({ kind, params }: { kind: string; params?: JsonObject | undefined }) =>
    short(`${kind} ${plain(params)}`, 100),
  )
  return [
    `\n${told.pattern_id} would propose`,
    fields({
      title: template.title,
      source: proposal_source,
      steps: steps.join('; '),
      cooldown: cooldown && `${cooldown.minutes} minutes by "${cooldown.key}"`,
      threshold:
        threshold && `${threshold.count} within ${threshold.within_minutes} minutes by "${threshold.key}"`,
      dedupe: dedupe_key,
      gate: gate && `${gate.code}: ${gate.reason}`,
    }),
  ]
}
