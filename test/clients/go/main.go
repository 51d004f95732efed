// A client in Go as a process, with the protocol of driver.py.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type request struct {
	ID        int            `json:"id"`
	Op        string         `json:"op"`
	Name      string         `json:"name"`
	Arguments map[string]any `json:"arguments"`
	URI       string         `json:"uri"`
	Of        int            `json:"of"`
}

type answer struct {
	Text   string `json:"text"`
	Images int    `json:"images"`
}

var writing sync.Mutex

func say(fields map[string]any) {
	line, _ := json.Marshal(fields)
	writing.Lock()
	defer writing.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func main() {
	options := &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, heard *mcp.ProgressNotificationClientRequest) {
			say(map[string]any{"id": heard.Params.ProgressToken, "heard": true})
		},
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, options)
	session, err := client.Connect(context.Background(), &mcp.StreamableClientTransport{Endpoint: os.Args[1]}, nil)
	if err != nil {
		panic(err)
	}
	say(map[string]any{"ready": true})
	running := map[int]context.CancelFunc{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		if asked.Op == "cancel" {
			running[asked.Of]()
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		running[asked.ID] = cancel
		go func() {
			if result, err := handle(ctx, session, asked); err != nil {
				say(map[string]any{"id": asked.ID, "error": err.Error()})
			} else {
				say(map[string]any{"id": asked.ID, "answer": result})
			}
		}()
	}
}

func handle(ctx context.Context, session *mcp.ClientSession, asked request) (any, error) {
	names := []string{}
	switch asked.Op {
	case "tools":
		listed, err := session.ListTools(ctx, nil)
		if err != nil {
			return nil, err
		}
		for _, tool := range listed.Tools {
			names = append(names, tool.Name)
		}
		return names, nil
	case "resources":
		listed, err := session.ListResources(ctx, nil)
		if err != nil {
			return nil, err
		}
		for _, resource := range listed.Resources {
			names = append(names, resource.URI)
		}
		return names, nil
	case "read":
		read, err := session.ReadResource(ctx, &mcp.ReadResourceParams{URI: asked.URI})
		if err != nil {
			return nil, err
		}
		return read.Contents[0].Text, nil
	}
	params := &mcp.CallToolParams{Name: asked.Name, Arguments: asked.Arguments}
	params.SetProgressToken(asked.ID)
	result, err := session.CallTool(ctx, params)
	if err != nil {
		return nil, err
	}
	texts, images := []string{}, 0
	for _, content := range result.Content {
		switch block := content.(type) {
		case *mcp.TextContent:
			texts = append(texts, block.Text)
		case *mcp.ImageContent:
			images++
		}
	}
	return answer{strings.Join(texts, "\n"), images}, nil
}
