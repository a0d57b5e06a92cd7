import { readFile } from 'node:fs/promises'
import { text as textOf } from 'node:stream/consumers'
import { Command } from 'commander'
import { shortId } from '../../embedded/shortId.js'
import { withoutMark } from '../../engine/env.js'
import { type EventRecord, infiniteNumber, type JsonObject, OpsError, pathText } from '../../engine/index.js'
import { formatJson } from '../../policies/index.js'
import { ALL_OPTION, eventPages, idArgument, WITHOUT_ITSELF, wholeId } from '../ids.js'
import { wholeNumber } from '../numbers.js'
import { withEngine } from '../session.js'
import { ago, fields, table } from '../text.js'

const EXAMPLES = `
Examples:
  ops-loop events emit deploy:finished --data '{"service": "shop", "version": "2.4.1"}'
  ops-loop events show 3f2a91
  ops-loop events emit deploy:finished --data @event.json --dedupe-key deploy-4711
  echo '{"service": "shop"}' | ops-loop events emit deploy:finished --data @-`

interface ListOptions {
  type?: string
  all?: boolean
  limit: number
}

interface EmitOptions {
  data?: string
  dedupeKey?: string
}

export function eventsCommand(): Command {
  const events = new Command('events').description('facts that were reported')

  events
    .command('emit')
    .description('report an event')
    .argument('<type>', 'such as deploy:finished')
    .option('--data <json>', 'its data: a JSON object, @file, or @- for standard input')
    .option('--dedupe-key <key>', 'reporting it again with this key changes nothing')
    .addHelpText('after', EXAMPLES)
    .action((type: string, options: EmitOptions, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const data = options.data === undefined ? undefined : await readData(options.data, command)
        const { event_id, outcome } = await engine.emitEvent({ type, data, dedupe_key: options.dedupeKey })
        if (outcome === 'conflict') {
          throw new OpsError(
            'OPS_014',
            `Event ${event_id} has this dedupe key, but another type or other data.`,
            {
              details: { event_id },
              hint: 'Nothing was stored. Give this event a key of its own.',
            },
          )
        }
        answer({ event_id, outcome }, () =>
          outcome === 'accepted' ? `event ${event_id} stored` : `event ${event_id} was there before`,
        )
      }),
    )

  events
    .command('list')
    .description('the newest events')
    .option('--type <type>', 'only of this type')
    .option(...ALL_OPTION)
    .option('--limit <n>', 'at most this many', wholeNumber(1, 200), 20)
    .addHelpText('after', '\nExample:\n  ops-loop events list --type github:issues.opened')
    .action((options: ListOptions, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const { type, all, limit } = options
        const filter = all ? {} : WITHOUT_ITSELF
        const rows = await engine.listEvents(type === undefined ? filter : { type }, limit)
        answer(rows, () => table(['id', 'type', 'depth', 'processed', 'received'], rows.map(cells)))
      }),
    )

  events
    .command('show')
    .description('an event with its data')
    .argument('<id>', 'of the event, or its beginning or end', idArgument)
    .action((part: string, _options: object, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const id = await wholeId(part, 'event', eventPages(engine))
        const [event] = await engine.listEvents({ id }, 1)
        if (event === undefined) throw new OpsError('OPS_013', `There is no event ${id}.`)
        answer(event, () => describe(event))
      }),
    )
  return events
}

function describe(event: EventRecord): string {
  const { id, type, data, depth, dedupe_key, mission_id, run_id, root_event_id, processed_at, created_at } =
    event
  return fields({
    id,
    type,
    received: `${created_at}, ${ago(created_at)}`,
    processed: processed_at ?? 'no',
    'dedupe key': dedupe_key,
    depth,
    root: root_event_id,
    mission: mission_id,
    run: run_id,
    data: formatJson(data).trimEnd(),
  })
}

function cells(event: EventRecord): string[] {
  const { id, type, depth, processed_at, created_at } = event
  return [shortId(id), type, String(depth), processed_at === null ? 'no' : 'yes', ago(created_at)]
}

async function readData(source: string, command: Command): Promise<JsonObject> {
  const text = source.startsWith('@') ? await readSource(source.slice(1)) : source
  const data = parsed(text)
  if (!isObject(data)) return command.error('error: --data is not a JSON object')
  const beyond = infiniteNumber(data)
  if (beyond) {
    return command.error(
      `error: ${pathText(beyond)} of --data is beyond what a JSON number can hold here: give it as text`,
    )
  }
  return data
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(withoutMark(text))
  } catch {
    return undefined
  }
}

async function readSource(name: string): Promise<string> {
  if (name === '-') return textOf(process.stdin)
  try {
    return await readFile(name, 'utf8')
  } catch (error) {
    throw new OpsError('OPS_011', `Cannot read ${name}.`, { cause: error, details: { path: 'data' } })
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
