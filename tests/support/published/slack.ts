// What incoming webhooks take, by the types that Slack publishes for its own SDK.

import type { KnownBlock } from '@slack/types';
import type { IncomingWebhookSendArguments } from '@slack/webhook';

// Without the SDK's `Block`, which is a block of any form. `mrkdwn` is in no type, but documented:
// https://docs.slack.dev/messaging/formatting-message-text
export type Body = Omit<IncomingWebhookSendArguments, 'blocks'> & { blocks: KnownBlock[]; mrkdwn?: boolean };
