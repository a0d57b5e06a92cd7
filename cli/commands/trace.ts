import { Command } from 'commander'
import { colorsFor } from '../../embedded/colors.js'
import { shortId } from '../../embedded/shortId.js'
import { oneLine } from '../../engine/harmless.js'
import type { Engine, MissionRecord, TraceEntry } from '../../engine/index.js'
import {
  eventPages,
  idArgument,
  type List,
  missionPages,
  type Pages,
  proposalPages,
  stepPages,
  wholeId,
} from '../ids.js'
import { withEngine } from '../session.js'
import { plain, short } from '../text.js'

const colors = colorsFor(process.stdout)

export function traceCommand(): Command {
  return new Command('trace')
    .description('the whole chain that something belongs to, causes before effects')
    .argument(
      '<id>',
      'of an event, proposal, mission or step, or its beginning or end; whole ids also of reactions and runs',
      idArgument,
    )
    .addHelpText('after', '\nExample:\n  ops-loop trace 3f2a91')
    .action((part: string, _options: object, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const id = await wholeId(
          part,
          'row of the loop',
          eventPages(engine),
          proposalPages(engine),
          // The events that missions go back to are found among them, however many have come since.
          missionsWithRoots(engine),
          stepPages(engine),
        )
        const entries = await engine.trace(id)
        answer(entries, () => tree(entries, id))
      }),
    )
}

function missionsWithRoots(engine: Engine): Pages {
  const { newest, older } = missionPages(engine)
  const withRoots = (list: List<MissionRecord>) => async () => (await list()).flatMap(withRoot)
  return { newest: newest.map(withRoots), older: older.map(withRoots) }
}

function withRoot(mission: MissionRecord): { id: string }[] {
  const { id, root_event_id } = mission
  return typeof root_event_id === 'string' ? [{ id }, { id: root_event_id }] : [{ id }]
}

/** One line for each entry, under and to the right of the one that caused it; the one asked for is marked. */
function tree(entries: TraceEntry[], asked: string): string {
  const depths = new Map<string, number>()
  return entries
    .map((entry) => {
      const depth = entry.parent_id === null ? 0 : (depths.get(entry.parent_id) ?? -1) + 1
      depths.set(entry.id, depth)
      return `${entry.id === asked ? colors.cyan('▸') : ' '} ${'  '.repeat(depth)}${describe(entry)}`
    })
    .join('\n')
}

function describe({ entity, id, status, summary, details, at }: TraceEntry): string {
  const said = plain(details.reason) || plain(details.last_error) || plain(details.error)
  const text = oneLine([entity, summary, status].join(' '))
  const reason = said === '' ? '' : colors.dim(`: ${short(plain(said), 90)}`)
  return `${text}${reason} ${colors.dim(`${shortId(id)} ${at.slice(11, 19)}`)}`
}
