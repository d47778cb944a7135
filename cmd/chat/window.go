package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/aristochat/aristochat/cmd/chat/screen"
	"github.com/aristochat/aristochat/cmd/chat/talk"
	"github.com/aristochat/aristochat/cmd/chat/text"
)

// defaultBacklog is how many old messages fill a screen and a little more.
const defaultBacklog = 50

// runScreen chats in the terminal until the user leaves or ctx ends.
func runScreen(ctx context.Context, cfg *config, stdout *os.File, stderr io.Writer) error {
	var program *tea.Program
	started := make(chan struct{}) // closed when program is set
	emit := func(e talk.Event) {
		<-started
		program.Send(e)
	}
	slow := time.AfterFunc(time.Second, func() {
		fmt.Fprintf(stderr, "chat: connecting to %s…\n", text.Name(cfg.Server))
	})
	s, err := dial(ctx, cfg, cfg.backlog(defaultBacklog), emit)
	slow.Stop()
	if err != nil {
		return err
	}
	model := screen.New(s, screen.Options{User: cfg.Username, Server: cfg.Server, Room: cfg.Room})
	program = tea.NewProgram(model, tea.WithOutput(stdout), tea.WithoutSignalHandler())
	close(started)
	stop := context.AfterFunc(ctx, program.Quit)
	defer stop()
	_, err = program.Run()
	err = errors.Join(err, s.Close())
	for _, body := range model.Unsent() {
		fmt.Fprintf(stderr, "chat: not sent: %s\n", text.Body(body))
	}
	return err
}
