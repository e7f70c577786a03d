import { Anchor, type AnchorProps, Button, type ButtonProps } from '@mantine/core';
import { createLink } from '@tanstack/react-router';
import { type ComponentPropsWithRef, forwardRef } from 'react';

const AnchorBase = forwardRef<
  HTMLAnchorElement,
  AnchorProps & Omit<ComponentPropsWithRef<'a'>, keyof AnchorProps | 'ref'>
>((props, ref) => <Anchor ref={ref} {...props} />);

/** A link in a text or a table, to a page of the console. */
export const TextLink = createLink(AnchorBase);

const ButtonBase = forwardRef<
  HTMLAnchorElement,
  ButtonProps & Omit<ComponentPropsWithRef<'a'>, keyof ButtonProps | 'ref'>
>((props, ref) => <Button component="a" ref={ref} {...props} />);

/** A link that looks like a button, to a page of the console. */
export const ButtonLink = createLink(ButtonBase);
