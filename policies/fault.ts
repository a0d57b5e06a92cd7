/** Something in a policy that cannot work, and where. Thrown inside this folder only: what leaves it are outcomes. */
export class PolicyFault extends Error {
  override readonly name = 'PolicyFault'

  /** @param path where in the policy or template: `patterns[3].when` */
  constructor(
    readonly path: string,
    message: string,
  ) {
    super(message)
  }
}
