import { Argument, Command } from 'commander'
import { harmless } from '../../engine/harmless.js'
import { candidatesFor } from '../completion/candidates.js'
import { liveNames } from '../completion/live.js'
import { SCRIPTS, SHELLS, type Shell } from '../completion/scripts.js'
import type { GlobalOptions } from '../connection.js'
import { answerFor } from '../session.js'

const HELP = `
Examples:
  echo 'source <(ops-loop completion bash)' >> ~/.bashrc
  echo 'source <(ops-loop completion zsh)' >> ~/.zshrc
  ops-loop completion fish > ~/.config/fish/completions/ops-loop.fish`

export function completionCommand(): Command {
  return new Command('completion')
    .description('what to give your shell, so that it completes commands, options and names')
    .addArgument(new Argument('<shell>', 'yours').choices(SHELLS))
    .addHelpText('after', HELP)
    .action((shell: Shell, _options: object, command: Command) =>
      answerFor(command.optsWithGlobals<GlobalOptions>())(
        { shell, script: SCRIPTS[shell] },
        () => SCRIPTS[shell],
      ),
    )
}

/** What the shells call. */
export function completeCommand(program: Command): Command {
  return new Command('complete').argument('[words...]').action(async (words: string[]) => {
    for (const { word, about } of await candidatesFor(program, words, liveNames))
      console.log(harmless(`${word}\t${about}`))
  })
}
