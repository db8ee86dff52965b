// A message with a card, by the types that Microsoft publishes of the cards which Teams takes. The message around it
// is documented alone:
// https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using

import type { IAdaptiveCard } from '@microsoft/teams.cards';

interface Attachment {
  contentType: 'application/vnd.microsoft.card.adaptive';
  contentUrl: null;
  content: IAdaptiveCard;
}

export type Body = { type: 'message'; attachments: [Attachment] };
