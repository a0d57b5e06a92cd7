import { Command } from 'commander'
import { shortId } from '../../embedded/shortId.js'
import type { PatternDecision } from '../../engine/index.js'
import { eventPages, idArgument, wholeId } from '../ids.js'
import { withEngine } from '../session.js'
import { plain, short, table } from '../text.js'

export function whyCommand(): Command {
  return new Command('why')
    .description('what each pattern decided about an event, and why')
    .argument('<event-id>', 'of the event, or its beginning or end', idArgument)
    .addHelpText('after', '\nExample:\n  ops-loop why 3f2a91')
    .action((part: string, _options: object, command: Command) =>
      withEngine(command, async (engine, answer) => {
        const id = await wholeId(part, 'event', eventPages(engine))
        const decisions = await engine.why(id)
        answer(decisions, () =>
          decisions.length === 0
            ? 'Nothing is decided yet: the event waits for the next heartbeat.'
            : table(['pattern', 'decision', 'reaction', 'because'], decisions.map(cells)),
        )
      }),
    )
}

function cells({ pattern_id, decision, reaction_id, detail }: PatternDecision): string[] {
  const because = Object.entries(detail ?? {}).map(([name, value]) => `${name}=${plain(value)}`)
  return [
    pattern_id,
    decision,
    reaction_id === null ? '' : shortId(reaction_id),
    short(because.join(' '), 110),
  ]
}
